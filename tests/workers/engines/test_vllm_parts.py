"""vLLM's adapter without vLLM: what it makes of requests, answers, events and errors."""

from __future__ import annotations

import mmap
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dynamo_cli.errors import EngineFailed, InvalidRequest, ResourceMissing
from dynamo_cli.protocol import kv
from dynamo_cli.protocol.engine import (
    EngineRequest,
    GuidedDecoding,
    OutputOptions,
    SamplingOptions,
    StopConditions,
)
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.vllm import wire
from dynamo_cli.workers.engines.vllm.adapters import Adapters
from dynamo_cli.workers.engines.vllm.blocks import BlockNames
from dynamo_cli.workers.engines.vllm.channel import Channel
from dynamo_cli.workers.engines.vllm.controls import Controls, controls_of
from dynamo_cli.workers.engines.vllm.counts import Counts, Transferred
from dynamo_cli.workers.engines.vllm.environment import prepare
from dynamo_cli.workers.engines.vllm.events import EventFeed
from dynamo_cli.workers.engines.vllm.failure import death, first_sentence, start_failure, validation_text
from dynamo_cli.workers.engines.vllm.output import Output
from dynamo_cli.workers.engines.vllm.publisher import StepQueue
from dynamo_cli.workers.engines.vllm.sampling import guided_arguments, sampling_arguments
from dynamo_cli.workers.engines.vllm.wire import Events, Failure, Unframer, framed
from dynamo_cli.workers.shared_memory import remove, segments_of

TOKENS = list(range(64))
WHOLE = kv.block_hashes(TOKENS, 16)


# Requests


def test_what_is_not_asked_for_is_the_models_own_default() -> None:
    request = EngineRequest("m", [1], sampling=SamplingOptions(top_p=0.5), stop=StopConditions(max_tokens=9))
    arguments = sampling_arguments(request, 9, {"temperature": 0.2, "top_p": 0.9, "max_tokens": 7})
    assert arguments == {
        "temperature": 0.2,
        "top_p": 0.5,
        "max_tokens": 9,
        "min_tokens": 0,
        "ignore_eos": False,
        "detokenize": False,
    }


def test_every_option_arrives() -> None:
    sampling = SamplingOptions(0.0, 0.9, 40, 0.1, 7, 0.5, -0.5, 1.1, {5: -100.0})
    stop = StopConditions(max_tokens=20, min_tokens=30, stop_token_ids=(2, 3), ignore_eos=True)
    arguments = sampling_arguments(EngineRequest("m", [1], sampling=sampling, stop=stop), 20, {})
    assert arguments["logit_bias"] == {5: -100.0}
    assert (arguments["temperature"], arguments["top_k"], arguments["min_p"], arguments["seed"]) == (0.0, 40, 0.1, 7)
    assert (arguments["presence_penalty"], arguments["frequency_penalty"]) == (0.5, -0.5)
    assert arguments["repetition_penalty"] == 1.1
    assert (arguments["stop_token_ids"], arguments["min_tokens"], arguments["ignore_eos"]) == ([2, 3], 20, True)
    assert "logprobs" not in arguments


@pytest.mark.parametrize(("asked", "given"), [(7, 7), (-1, 2**63 - 1), (2**63, 0), (2**63 - 1, 2**63 - 1)])
def test_every_seed_is_one_that_vllm_takes(asked: int, given: int) -> None:
    request = EngineRequest("m", [1], sampling=SamplingOptions(seed=asked))
    assert sampling_arguments(request, 1, {})["seed"] == given


def test_guided_decoding_in_vllms_words() -> None:
    assert guided_arguments(GuidedDecoding(choice=("a", "b"))) == {"choice": ["a", "b"]}
    assert guided_arguments(GuidedDecoding(regex="a+")) == {"regex": "a+"}
    assert guided_arguments(GuidedDecoding(json={"type": "object"})) == {"json": {"type": "object"}}


# Answers


def found(ids: list[int], finish: str | None = None, logprobs: Any = None, cached: int | None = None) -> Any:
    made = SimpleNamespace(token_ids=ids, finish_reason=finish, logprobs=logprobs)
    return SimpleNamespace(outputs=[made], num_cached_tokens=cached)


def test_the_token_that_stops_it_is_left_out() -> None:
    output = Output(EngineRequest("m", [1, 2, 3]), Transferred())
    first = output.take(found([5], cached=2))
    assert (first.token_ids, first.cached_tokens, first.usage) == ([5], 2, None)
    assert output.take(found([], cached=2)).cached_tokens == 0
    last = output.take(found([6, 0], "stop", cached=2))
    assert (last.token_ids, last.finish_reason, output.finished) == ([6], "stop", True)
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.cached_tokens) == (3, 2, 2)


@pytest.mark.parametrize(("theirs", "ours"), [("length", "length"), ("abort", "cancelled")])
def test_how_it_ends(theirs: str, ours: str) -> None:
    last = Output(EngineRequest("m", [1]), Transferred()).take(found([6, 7], theirs))
    assert (last.token_ids, last.finish_reason) == ([6, 7], ours)


def test_an_error_is_no_answer() -> None:
    with pytest.raises(EngineFailed, match="'error'"):
        Output(EngineRequest("m", [1]), Transferred()).take(found([], "error"))


def test_logprobs_are_ranked_and_as_many_as_asked_for() -> None:
    def one(logprob: float, rank: int) -> Any:
        return SimpleNamespace(logprob=logprob, rank=rank)

    output = Output(EngineRequest("m", [1], output=OutputOptions(logprobs=2)), Transferred())
    candidates = {9: one(-3.0, 7), 4: one(-1.0, 2), 3: one(-0.5, 1)}
    (logprob,) = output.take(found([9], logprobs=[candidates])).logprobs or []
    assert (logprob.token_id, logprob.logprob, logprob.top) == (9, -3.0, [(3, -0.5), (4, -1.0)])


# Load


def test_load_is_the_sequences_we_know_of() -> None:
    counts = Counts()
    counts.total_blocks = 100
    assert counts.load() == WorkerLoad(total_blocks=100)
    for _ in range(3):
        counts.begin(10)
    counts.record(SimpleNamespace(num_waiting_reqs=1, num_skipped_waiting_reqs=1, kv_cache_usage=0.25))
    counts.prefilled(10)
    assert counts.load() == WorkerLoad(25, 100, 20, 1, 2)
    second = SimpleNamespace(num_waiting_reqs=0, kv_cache_usage=0.75)
    counts.record(second, rank=1)
    assert counts.load() == WorkerLoad(50, 100, 20, 1, 2), "of both ranks together"
    for _ in range(3):
        counts.end()
    assert counts.load().active_decode_blocks == 0


# Events


def stored(hashes: list[wire.Hash], parent: wire.Hash | None, tokens: list[int], **more: Any) -> wire.Stored:
    fields: dict[str, Any] = {"block_size": 16, "by_tokens": len(hashes)} | more
    return wire.Stored(hashes, parent, tokens, **fields)


def test_blocks_are_named_by_their_tokens_along_the_chain() -> None:
    names = BlockNames(16)
    assert names.translated([stored([b"a", b"b"], None, TOKENS[:32])]) == [kv.Stored(WHOLE[:2])]
    assert names.translated([stored([b"c"], b"b", TOKENS[32:48])]) == [kv.Stored([WHOLE[2]])]
    assert names.translated([wire.Removed([b"c"], "GPU")]) == [kv.Removed([WHOLE[2]])]
    assert names.translated([wire.Removed([b"c"])]) == []
    assert names.translated([wire.Cleared()]) == [kv.Cleared()]
    assert names.translated([stored([b"c"], b"b", TOKENS[32:48])]) == []
    assert names.unplaced == 1


def test_a_block_is_told_once_however_often_it_is_there() -> None:
    names = BlockNames(16)
    events = [stored([1], None, TOKENS[:16]), stored([1], None, TOKENS[:16])]
    assert names.translated(events) == [kv.Stored(WHOLE[:1])]
    assert names.translated([wire.Removed([1])]) == []
    assert names.translated([wire.Removed([1])]) == [kv.Removed(WHOLE[:1])]


def test_tiers_are_told_apart() -> None:
    names = BlockNames(16)
    one = stored([1], None, TOKENS[:16], medium="GPU")
    other = stored([1], None, TOKENS[:16], medium="CPU")
    assert names.translated([one, other]) == [kv.Stored(WHOLE[:1]), kv.Stored(WHOLE[:1], "host")]
    assert names.translated([wire.Removed([1], "GPU")]) == [kv.Removed(WHOLE[:1])]
    assert names.translated([stored([2], 1, TOKENS[16:32])]) == [kv.Stored([WHOLE[1]])]


def test_an_adapters_blocks_are_its_own() -> None:
    told = BlockNames(16).translated([stored([1, 2], None, TOKENS[:32], adapter="my-lora")])
    assert told == [kv.Stored(kv.block_hashes(TOKENS[:32], 16, adapter="my-lora"))]


def test_what_tokens_do_not_name_is_not_told_and_nothing_after_it() -> None:
    names = BlockNames(16)
    assert names.translated([stored([1, 2, 3], None, TOKENS[:48], by_tokens=1)]) == [kv.Stored(WHOLE[:1])]
    assert names.translated([stored([4], 3, TOKENS[48:])]) == []
    assert names.unplaced == 3


def test_caches_that_forget_are_not_followed() -> None:
    names = BlockNames(16)
    window = stored([1], None, TOKENS[:16], group=0, kind="sliding_window")
    assert names.translated([window, stored([1], None, TOKENS[:16], group=1, kind="full_attention")]) == [
        kv.Stored(WHOLE[:1])
    ]
    assert names.translated([wire.Removed([1], group=0)]) == []
    assert names.translated([stored([7], None, TOKENS[:8], group=1, block_size=8)]) == []


def test_a_cache_we_cleared_is_empty_at_once_and_only_once() -> None:
    told: list[list[kv.KvEvent]] = []
    feed = EventFeed(16, lambda: told.append)
    feed.take(Events([stored([1], None, TOKENS[:16])]))
    feed.cleared()
    late = stored([2], 1, TOKENS[16:32])
    feed.take(Events([late]))
    feed.take(Events([late, wire.Cleared(), stored([3], None, TOKENS[:16])]))
    assert told == [[kv.Stored(WHOLE[:1])], [kv.Cleared()], [kv.Stored(WHOLE[:1])]]


def test_what_nobody_hears_yet_is_kept() -> None:
    told: list[list[kv.KvEvent]] = []
    listener: list[Any] = [None]
    feed = EventFeed(16, lambda: listener[0])
    feed.take(Events([stored([1], None, TOKENS[:16])]))
    listener[0] = told.append
    feed.take(Events([]))
    assert told == [[kv.Stored(WHOLE[:1])]]


def test_after_a_loss_nothing_is_held(caplog: pytest.LogCaptureFixture) -> None:
    told: list[list[kv.KvEvent]] = []
    feed = EventFeed(16, lambda: told.append)
    feed.take(Events([stored([1], None, TOKENS[:16])]))
    feed.take(Events([], lost=3))
    assert told[1:] == [[kv.Cleared()]]
    assert "3 steps" in caplog.text


@dataclass
class BlockStored:
    """As vLLM makes them; older versions lack the last ones."""

    block_hashes: list[Any]
    parent_block_hash: Any
    token_ids: list[int]
    block_size: int = 16
    lora_name: str | None = None
    extra_keys: list[Any] | None = None


@dataclass
class BlockRemoved:
    block_hashes: list[Any] = field(default_factory=list)


class AllBlocksCleared:
    pass


def sent(queue: StepQueue) -> list[Any]:
    queue.close()
    found = []
    while (message := queue.get()) is not None:
        found.append(message)
    return found


def test_the_publisher_never_waits_and_counts_what_it_drops() -> None:
    queue = StepQueue(most=2)
    for _ in range(5):
        queue.put([AllBlocksCleared()])
    assert sent(queue) == [Events([wire.Cleared()]), Events([wire.Cleared()]), Events([], lost=3)]


def test_vllms_events_in_our_form() -> None:
    queue = StepQueue()
    queue.put(
        [
            BlockStored([1, 2], None, TOKENS[:32], lora_name="a", extra_keys=[("a",), ("a", ("image", 0))]),
            BlockStored([3], 2, TOKENS[32:48]),
            BlockRemoved([3]),
        ]
    )
    (events,) = sent(queue)
    first, second, removed = events.events
    assert (first.by_tokens, first.adapter, second.by_tokens, second.parent) == (1, "a", 1, 2)
    assert removed == wire.Removed([3])


def test_messages_are_found_however_the_stream_is_cut() -> None:
    messages: list[wire.Message] = [
        Events([stored([1, b"x" * 32], None, TOKENS)], 2),
        Failure("EngineCore", "ValueError", "no"),
    ]
    stream = b"".join(map(framed, messages))
    for size in (1, 3, len(stream)):
        unframer = Unframer()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [message for piece in pieces for message in unframer.feed(piece)] == messages


async def test_the_channel_is_private_and_survives_nonsense(tmp_path: Path) -> None:
    heard: list[Events] = []
    channel = Channel(str(tmp_path), heard.append)
    await channel.open()
    assert Path(channel.path).stat().st_mode & 0o777 == 0o600
    for data in (b"\0\0\0\3abc", framed(Events([])), framed(Failure("EngineCore", "ValueError", "no"))):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(channel.path)
            link.sendall(data)
    await channel.settle()
    assert heard == [Events([])]
    assert [failure.text for failure in channel.failures()] == ["no"]
    assert channel.failures(within_s=0) == []
    channel.close()


# Errors


def test_the_cause_is_named_not_its_consequences() -> None:
    failures = [
        Failure("VllmWorker-0", "OSError", "no file named model.safetensors. See the docs for more."),
        Failure("EngineCore", "Exception", "WorkerProc initialization failed due to an exception"),
    ]
    error = start_failure("m", RuntimeError("Engine core initialization failed."), failures, on_cpu=True)
    assert type(error) is EngineFailed
    assert "cannot load m: no file named model.safetensors (OSError)" in str(error)


TOO_LONG = (
    "(0.35 GiB KV cache is needed, which is larger than the available KV cache memory (0.06 GiB). Based on the "
    "available memory, the estimated maximum model length is 1280."
)
RESERVED = "Free memory on device cuda:0 (1/80 GiB) on startup is less than desired GPU memory utilization (0.9)."


@pytest.mark.parametrize(
    ("text", "on_cpu", "help_"),
    [
        (TOO_LONG, False, "give --max-model-len 1280, or a larger --gpu-memory-utilization"),
        (TOO_LONG, True, "give --max-model-len 1280, or a larger --kv-cache-memory-bytes"),
        ("No available memory for the cache blocks. Try more.", True, "give a smaller --max-model-len"),
        (RESERVED, False, "give a smaller --gpu-memory-utilization"),
        ("CUDA out of memory. Tried to allocate 2 GiB.", False, "or more GPUs"),
    ],
)
def test_a_model_that_does_not_fit_names_the_flag(text: str, on_cpu: bool, help_: str) -> None:
    error = start_failure("m", RuntimeError("x"), [Failure("EngineCore", "ValueError", text)], on_cpu=on_cpu)
    assert isinstance(error, ResourceMissing)
    assert help_ in str(error)
    assert "\n" not in str(error)


def test_a_death_says_why_when_something_was_said() -> None:
    assert death([], "was ended by SIGKILL") == "vLLM was ended by SIGKILL"
    said = [Failure("EngineCore", "RuntimeError", "CUDA error: an illegal memory access. Look there.")]
    assert death(said, "exited with code 1") == (
        "vLLM exited with code 1: CUDA error: an illegal memory access (RuntimeError)"
    )


def test_texts_of_many_lines_become_one() -> None:
    class Validation(ValueError):
        def errors(self) -> list[dict[str, Any]]:
            return [{"msg": "Value error, too\n long", "loc": ()}]

    assert validation_text(Validation()) == "too\n long"
    assert first_sentence("One thing\n is wrong. Try this.") == "One thing is wrong"
    assert first_sentence("") == "no reason was given"


# The rest


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system has no /dev/shm")
def test_shared_memory_of_a_process_is_found_and_freed() -> None:
    path = Path(f"/dev/shm/psm_test{os.getpid()}")
    path.write_bytes(bytes(64))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 64):
        assert str(path) in segments_of(os.getpid()) and str(path) in segments_of("self")
        remove([str(path), "/dev/shm/psm_gone"])
        assert not path.exists()
    assert segments_of(2**30) == set()


def test_the_environment_of_a_user_stays() -> None:
    environ = {"OMP_NUM_THREADS": "7", "VLLM_PLUGINS": "theirs", "VLLM_HOST_IP": "10.0.0.1"}
    prepare(environ, "/private", "/private/s", on_cpu=True)
    assert (environ["OMP_NUM_THREADS"], environ["VLLM_HOST_IP"]) == ("7", "10.0.0.1")
    assert environ["VLLM_PLUGINS"] == "theirs,dynamo"
    assert environ["VLLM_RPC_BASE_PATH"] == "/private"


def config(**more: Any) -> Any:
    nothing = {"model_config": SimpleNamespace(enable_sleep_mode=False), "profiler_config": None}
    return SimpleNamespace(**nothing | more)


async def test_a_control_that_it_was_not_started_for_is_refused() -> None:
    assert controls_of(config()) == ("clear_kv_blocks", "pause", "resume")
    controls = Controls(None, config(), lambda: None)
    with pytest.raises(NotImplementedError, match="--enable-sleep-mode"):
        await controls.run("sleep", {})
    with pytest.raises(NotImplementedError, match="--profiler-config"):
        await controls.run("start_profile", {})
    with pytest.raises(InvalidRequest, match="unknown field"):
        await controls.run("resume", {"now": True})
    with pytest.raises(InvalidRequest, match=r"pause: .*mode"):
        await controls.run("pause", {"mode": "never"})


async def test_clearing_computes_again_what_runs_and_is_told() -> None:
    class Engine:
        async def reset_prefix_cache(self, reset_running_requests: bool = False) -> bool:
            calls.append(reset_running_requests)
            return reset_running_requests

    calls: list[bool] = []
    told: list[str] = []
    controls = Controls(Engine(), config(), lambda: told.append("cleared"))
    assert await controls.run("clear_kv_blocks", {}) == {"status": "ok"}
    assert (calls, told) == ([False, True], ["cleared"])


async def test_an_engine_woken_in_part_says_that_it_still_sleeps() -> None:
    class Engine:
        asleep = {"weights", "kv_cache"}

        async def wake_up(self, tags: list[str] | None) -> None:
            self.asleep = self.asleep - set(tags or self.asleep)

        async def is_sleeping(self) -> bool:
            return bool(self.asleep)

    controls = Controls(Engine(), config(model_config=SimpleNamespace(enable_sleep_mode=True)), lambda: None)
    for tags in (["weight"], ["weights"]):
        assert await controls.run("wake_up", {"tags": tags}) == {"status": "ok", "awake": False}
    assert await controls.run("wake_up", {"tags": ["kv_cache"]}) == {"status": "ok"}


def test_a_model_of_another_name_is_no_adapter() -> None:
    assert Adapters("base", 0).request_of("anything") is None
    adapters = Adapters("base", 2)
    assert adapters.request_of("base") is None
    with pytest.raises(InvalidRequest, match="other is neither base nor an adapter"):
        adapters.request_of("other")


def test_a_gguf_file_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="llamacpp takes GGUF"):
        registry.spec("vllm").create(EngineLaunch(model_name="m", model_path="/models/m.gguf"))
