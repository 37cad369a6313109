"""Drafted topologies for many models on many machines: each is read, planned and fits."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from dynamo_cli.errors import DynamoError, ResourceMissing, UsageError
from dynamo_cli.estimate.config import shape_of_config
from dynamo_cli.estimate.gguf import shape_of_gguf
from dynamo_cli.estimate.shape import ModelShape, Part, Weights
from dynamo_cli.gpus.described import described_gpus
from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.hub.tensors import Tensor
from dynamo_cli.topology.draft.choose import choose
from dynamo_cli.topology.draft.draft import Draft, Wishes, draft_name
from dynamo_cli.topology.draft.facts import Facts
from dynamo_cli.topology.draft.text import draft_text
from dynamo_cli.topology.draft.write import write_draft
from dynamo_cli.topology.load import load_topology
from dynamo_cli.topology.plan import Inventory, make_plan
from dynamo_cli.topology.process import Plan
from dynamo_cli.workers.engines import registry
from tests.estimate import configs

GIB = 2**30
MODEL = "org/Some-Model"


def hf(config: dict[str, Any], billions: float) -> ModelShape:
    numbers = int(billions * 10**9)
    return shape_of_config(config, Weights(stored=2 * numbers, split=Part(numbers=numbers)))


def gguf(billions: float, architecture: str = "llama") -> ModelShape:
    told = {"block_count": 32, "context_length": 131072, "embedding_length": 4096, "feed_forward_length": 14336}
    told |= {"attention.head_count": 32, "attention.head_count_kv": 8, "vocab_size": 32000}
    metadata: dict[str, Any] = {f"{architecture}.{key}": value for key, value in told.items()}
    size = int(billions * 10**9)
    weights = [Tensor("a", "Q4_K", (size, 1), size // 2)]
    return shape_of_gguf({"general.architecture": architecture, **metadata}, weights)


SHAPES = {
    "llama-8b": hf(configs.LLAMA_3_1_8B, 8.03),
    "llama-70b": hf(configs.LLAMA_3_1_70B, 70.6),
    "qwen-7b": hf(configs.QWEN_2_5_7B, 7.6),
    "qwen-30b-a3b": hf(configs.QWEN_3_30B_A3B, 30.5),
    "mixtral": hf(configs.MIXTRAL_8X7B, 46.7),
    "gemma-27b": hf(configs.GEMMA_3_27B, 27.4),
    "gpt-oss": hf(configs.GPT_OSS_20B, 6.5),
    "deepseek": shape_of_config(configs.DEEPSEEK_V3, Weights(stored=0, split=Part(packed=671 * 10**9))),
    "gguf-8b": gguf(8),
    "gguf-gemma": gguf(8, "gemma2"),
}
MACHINES = ("1xL4", "2xL4", "8xL4", "4xL40S", "1xH100-80GB", "8xH100-80GB", "8xB200", "3xA100-40GB", "4xL4,2xL40S",
            "1xH100-80GB:mig-3g.40gb*2", "")  # fmt: skip


def facts(shape: ModelShape | str = SHAPES["llama-8b"], words: str = "8xH100-80GB", **more: Any) -> Facts:
    gpus = described_gpus(words).gpus if words else ()
    kind = shape.kind if isinstance(shape, ModelShape) else ""
    told = {"model": MODEL, "kind": kind, "shape": shape, "gpus": gpus, "described": words}
    return Facts(**{**told, "main_memory": 0 if words else 64 * GIB, **more})


def drafted(known: Facts, folder: Path, **wishes: Any) -> tuple[Draft, Plan]:
    draft = choose(known, Wishes(**wishes))
    file = folder / "draft.toml"
    file.write_text(draft_text(draft, known, "draft.toml", "dynamo init"))
    here = Inventory(
        gpus=known.gpus,
        free_ports=count(40000),
        python="python3",
        specs=registry.SPECS,
        choose=registry.choose,
        shapes={known.model: known.shape},
        main_memory=known.main_memory,
    )
    return draft, make_plan(load_topology(file), here)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("disagg", [False, True])
def test_what_is_drafted_fits(tmp_path: Path, name: str, machine: str, disagg: bool) -> None:
    known = facts(SHAPES[name], machine)
    try:
        draft, plan = drafted(known, tmp_path, disagg=disagg)
    except ResourceMissing as refused:
        assert str(refused).startswith((f"{MODEL} with 2,048 tokens of context needs ", "--disagg makes two workers"))
        assert not fits_somehow(SHAPES[name], known, disagg)
        return
    assert plan.warnings == ()
    workers = [process for process in plan.processes if process.kind == "worker"]
    assert len(workers) == draft.workers and {len(each.gpus) for each in workers} == {draft.ranks if draft.units else 0}
    for each in plan.memory:
        assert each.estimate is not None and each.estimate == draft.estimate
        assert each.estimate.kv_tokens >= each.estimate.context >= draft.context


def fits_somehow(shape: ModelShape, known: Facts, disagg: bool) -> bool:
    """Whether the weights of one worker, or of two, would take less than half of the GPUs that are alike."""
    units = [gpu.memory_total for gpu in known.gpus if not gpu.mig]
    alike = [memory for memory in units if units.count(memory) >= (2 if disagg else 1)]
    return shape.weights.of_rank(2, 1, 1) * (2 if disagg else 1) < 0.45 * sum(alike)


# Each choice


@pytest.mark.parametrize(
    ("shape", "machine", "ranks", "workers"),
    [
        ("llama-8b", "8xH100-80GB", 1, 8),
        ("llama-8b", "2xL4", 2, 1),
        ("llama-70b", "8xH100-80GB", 4, 2),
        ("llama-70b", "8xL40S", 4, 2),
        ("deepseek", "8xB200", 4, 2),
        ("mixtral", "4xL40S", 4, 1),
        ("qwen-7b", "3xA100-40GB", 1, 3),
    ],
)
def test_the_fewest_gpus_a_worker(shape: str, machine: str, ranks: int, workers: int) -> None:
    draft = choose(facts(SHAPES[shape], machine), Wishes())
    assert (draft.engine, draft.ranks, draft.pools) == ("vllm", ranks, {"decode": workers})
    assert (draft.alone is None) == (ranks == 1)


def test_prompts_on_workers_of_their_own() -> None:
    assert choose(facts(), Wishes(disagg=True)).pools == {"prefill": 2, "decode": 6}
    assert choose(facts(words="2xH100-80GB"), Wishes(disagg=True)).pools == {"prefill": 1, "decode": 1}
    with pytest.raises(ResourceMissing):
        choose(facts(words="1xH100-80GB"), Wishes(disagg=True))


def test_the_context_shrinks_before_it_is_refused() -> None:
    draft = choose(facts(words="1xL4"), Wishes())
    assert (draft.context, draft.ranks) == (16384, 1)
    with pytest.raises(ResourceMissing, match=r"with 131,072 tokens of context needs 32\.\d GiB on one GPU"):
        choose(facts(words="1xL4"), Wishes(context=131072))


def test_more_context_than_the_model_was_made_for() -> None:
    with pytest.raises(UsageError, match=f"--context 131073 is more than the 131072 tokens of {MODEL}"):
        choose(facts(), Wishes(context=131073))


def test_main_memory() -> None:
    known = facts(SHAPES["gguf-8b"], "", main_memory=12 * GIB)
    draft = choose(known, Wishes())
    assert (draft.engine, draft.options) == ("llamacpp", {"parallel": 4, "max_model_len": 8192})
    tight = choose(msgspec.structs.replace(known, main_memory=7 * GIB), Wishes())
    assert tight.options == {"parallel": 1, "max_model_len": 8192}
    with pytest.raises(ResourceMissing, match=r"3\.0 GiB of memory are available"):
        choose(msgspec.structs.replace(known, main_memory=3 * GIB), Wishes())


def test_a_long_context_on_the_cpu_gets_its_cache() -> None:
    draft = choose(facts(words=""), Wishes(context=32768))
    assert draft.engine == "vllm" and draft.args[-2:] == ("--kv-cache-memory-bytes", "6G")


@pytest.mark.parametrize(
    ("known", "wanted", "engine"),
    [
        (facts(SHAPES["gguf-8b"], ""), "auto", "llamacpp"),
        (facts(SHAPES["gguf-8b"]), "auto", "vllm"),
        (facts(SHAPES["gguf-8b"], missing={"vllm": "not here"}), "auto", "llamacpp"),
        (facts(SHAPES["gguf-gemma"]), "auto", "llamacpp"),
        (facts(SHAPES["llama-8b"], ""), "auto", "vllm"),
        (facts("nobody knows", ""), "auto", "llamacpp"),
        (facts("nobody knows"), "auto", "vllm"),
        (facts(), "mock", "mock"),
        (facts("nobody knows"), "llamacpp", "llamacpp"),
    ],
)
def test_the_engine(known: Facts, wanted: str, engine: str) -> None:
    assert choose(known, Wishes(engine=wanted)).engine == engine


@pytest.mark.parametrize(
    ("known", "wanted", "says"),
    [
        (facts(), "llamacpp", "is in Hugging Face format, which engine llamacpp does not read; use --engine vllm"),
        (facts(SHAPES["gguf-gemma"]), "vllm", "is a GGUF file, which engine vllm does not read; use --engine llamacpp"),
        (facts(), "vlm", "unknown engine 'vlm'; did you mean vllm"),
        (facts(), "echo", "init drafts no topologies for engine echo"),
        (facts(), "sglang", "engine sglang has no adapter in this release"),
    ],
)
def test_an_engine_that_cannot_be(known: Facts, wanted: str, says: str) -> None:
    with pytest.raises(DynamoError, match=says):
        choose(known, Wishes(engine=wanted))


def test_gpus_that_others_use_are_left_out_or_shared() -> None:
    free, half = gpu(0), gpu(1, free=40)
    assert choose(facts(gpus=(free, half)), Wishes()).pools == {"decode": 1}
    shared = choose(facts(gpus=(half,)), Wishes())
    assert shared.args[-1] == "0.48" and shared.estimate is not None and shared.estimate.total < 40 * GIB


def gpu(index: int, free: int = 80) -> Gpu:
    return Gpu(index=index, uuid=f"GPU-{index}", name="Fake", memory_total=80 * GIB, memory_free=free * GIB)


@given(some.integers(1, 8), some.sampled_from(["L4", "L40S", "H100-80GB"]), some.sampled_from(sorted(SHAPES)))
def test_another_gpu_never_makes_it_fit_less(number: int, name: str, shape: str) -> None:
    fewer, more = (held(SHAPES[shape], f"{count}x{name}") for count in (number, number + 1))
    assert more >= fewer


def held(shape: ModelShape, machine: str) -> int:
    """Tokens of all workers; -1 where it does not fit."""
    try:
        draft = choose(facts(shape, machine), Wishes(context=4096))
    except ResourceMissing:
        return -1
    return draft.workers * draft.estimate.kv_tokens if draft.estimate else 0


# The text


def test_each_value_says_why(tmp_path: Path) -> None:
    known = facts(SHAPES["llama-70b"])
    text = draft_text(choose(known, Wishes()), known, "some.toml", "dynamo init")
    for words in (
        "# What a worker will hold on each of its 4 GPUs, as an estimate:",
        "#   dynamo plan some.toml --gpus 8xH100-80GB",
        "weights     32.9 GiB",
        "of 79.6 GiB",
        "# 8 x NVIDIA H100 80GB HBM3, 4 to a worker",
        "the fewest that do: on 2 there is KV for ",
        "# tokens of a request; the model was made for 131,072",
        'mode = "kv"',
    ):
        assert words in text, words
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("model", ["/m/a\nb.gguf", "/m/a\x01.gguf", '/m/"a" #${X}.gguf', "/m/a\x7f.gguf"])
def test_any_path_is_written_so_that_it_can_be_read(tmp_path: Path, model: str) -> None:
    known = facts(model=model)
    file = tmp_path / "draft.toml"
    file.write_text(draft_text(choose(known, Wishes()), known, "a\nb.toml", f"dynamo init {model}"))
    assert load_topology(file).model == model


def test_a_name_that_toml_cannot_say_costs_no_file(tmp_path: Path) -> None:
    file = tmp_path / "draft.toml"
    file.write_text("mine")
    with pytest.raises(UsageError, match="is not UTF-8"):
        write_draft(file, 'model = "latin\udce9"', force=True)
    assert file.read_text() == "mine"


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    draft, plan = drafted(facts("the hub is silent. " * 9), tmp_path)
    text = (tmp_path / "draft.toml").read_text()
    assert "# How much memory a worker needs is not estimated: the hub is silent." in text
    assert max(map(len, text.splitlines())) <= 120
    assert (draft.workers, plan.memory[0].estimate) == (1, None)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-135m-instruct"),
        ("/models/My Model.Q4_K.gguf", "my-model-q4_k"),
        ("/models/dir/", "dir"),
        ("x/" + "a-" * 40, "a-" * 19 + "a"),
        ("x/ä", "local"),
    ],
)
def test_the_name_of_a_deployment(model: str, name: str) -> None:
    assert draft_name(model) == name
