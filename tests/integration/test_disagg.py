"""Prompts computed by one process and answered by another: whoever is killed whenever, no stream hangs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration.answers import Answer, Load
from tests.integration.dynamo import Dynamo, admin, ask, kill, metric
from tests.supervisor.harness import gone, until

pytestmark = pytest.mark.slow

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
PROMPT, TOKENS, STREAMS = 600, 20, 8
OPTIONS = "num_gpu_blocks = 512\nkv_bytes_per_token = 1000"
TOPOLOGY = f"""
name  = "halves"
model = "{MODEL}"
[frontend]
port = 0
[workers.prefill]
engine   = "mock"
role     = "prefill"
replicas = COUNT
[workers.prefill.options]
speedup_ratio = 0.05           # half a second a prompt
bootstrap     = BOOTSTRAP
{OPTIONS}
[workers.decode]
engine   = "mock"
role     = "decode"
replicas = COUNT
[workers.decode.options]
speedup_ratio         = 0.3    # 20 ms a token
kv_transfer_bandwidth = 0.002  # a second a prompt
{OPTIONS}
"""
BODIES = [
    {"model": MODEL, "prompt": list(range(1000 * n + 100, 1000 * n + 100 + PROMPT)), "max_tokens": TOKENS}
    for n in range(STREAMS)
]


class Halves:
    def __init__(self, dynamo: Dynamo, home: Path, count: int, bootstrap: bool) -> None:
        self.dynamo = dynamo
        topology = TOPOLOGY.replace("COUNT", str(count)).replace("BOOTSTRAP", str(bootstrap).lower())
        started = dynamo.run("up", "-d", dynamo.write(topology))
        assert started.code == 0, started
        status = dynamo.status()
        self.url: str = status["url"]
        self.run = home / status["deployment"] / "run"
        self.prefill = [f"prefill-{n}" for n in range(count)]
        self.decode = [f"decode-{n}" for n in range(count)]

    def loaded(self, disturb: Callable[[list[Answer]], None] = lambda answers: None) -> list[Answer]:
        """Every stream to its end, whatever is done to the workers meanwhile; `disturb` sees how far they are."""

        async def both() -> list[Answer]:
            load = Load(self.url, BODIES)
            answers, _ = await asyncio.gather(load.run(), asyncio.to_thread(disturb, load.answers))
            return answers

        return asyncio.run(asyncio.wait_for(both(), 60))

    def of(self, worker: str, name: str) -> float:
        return metric(self.run / f"{worker}.sock", name)

    def told(self, name: str) -> float:
        return metric(self.run / "frontend-0.sock", f"dynamo_frontend_{name}")

    def recomputed(self) -> float:
        """Prompts that a prefill worker had and lost. (Those that found none may be the supervisor's.)"""
        name = "dynamo_frontend_remote_prefill_fallback_total"
        with admin(self.run / "frontend-0.sock") as client:
            lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines if 'failed"' in line)

    def set_conditional(self, **fields: object) -> None:
        answer = httpx.post(f"{self.url}/conditional_disagg", json={"model": MODEL, **fields}, trust_env=False)
        assert answer.status_code == 200, answer.text

    def active(self) -> list[float]:
        """KV blocks in use, by worker."""
        return [self.of(worker, "mock_kv_blocks_active") for worker in (*self.prefill, *self.decode)]

    def until_free(self, timeout_s: float = 5.0) -> None:
        self.dynamo.until("READY")
        until(lambda: not any(self.active()), timeout_s, "all blocks to be free")


@contextmanager
def up(home: Path, count: int, bootstrap: bool = False) -> Iterator[Halves]:
    (home / "run").mkdir(parents=True, mode=0o700)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DYN_", "DYNAMO_"))}
    environ |= {"DYNAMO_HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    halves = Halves(Dynamo(home, environ), home, count, bootstrap)
    yield halves
    assert halves.dynamo.run("down").code == 0
    gone(home, 3.0)


@pytest.fixture(scope="module")
def pair(session_home: Path) -> Iterator[Halves]:
    with up(session_home / "pair", 1) as halves:
        yield halves


@pytest.fixture(scope="module")
def four(session_home: Path) -> Iterator[Halves]:
    with up(session_home / "four", 2) as halves:
        yield halves


@pytest.fixture(scope="module")
def met(session_home: Path) -> Iterator[Halves]:
    """Both workers of a request get it at once, as SGLang's."""
    with up(session_home / "met", 2, bootstrap=True) as halves:
        yield halves


@pytest.fixture(scope="module")
def texts(four: Halves) -> list[str]:
    answers = four.loaded()
    assert_whole(answers, [answer.text for answer in answers])
    assert len({answer.text for answer in answers}) == STREAMS
    return [answer.text for answer in answers]


def assert_whole(answers: list[Answer], texts: list[str]) -> None:
    assert [answer.error for answer in answers if answer.error] == []
    assert [answer.text for answer in answers] == texts
    assert {(answer.reason, answer.done) for answer in answers} == {("length", True)}
    usages = {(answer.usage["prompt_tokens"], answer.usage["completion_tokens"]) for answer in answers}
    assert usages == {(PROMPT, TOKENS)}


def test_decode_workers_compute_nothing_of_any_prompt(four: Halves) -> None:
    computed = "mock_prompt_tokens_computed_total"
    before = [sum(four.of(worker, computed) for worker in half) for half in (four.prefill, four.decode)]
    sent = four.told("kv_transfer_bytes_total")
    answers = four.loaded()
    assert_whole(answers, [answer.text for answer in answers])
    after = [sum(four.of(worker, computed) for worker in half) for half in (four.prefill, four.decode)]
    assert after[1] == before[1]
    assert four.told("kv_transfer_bytes_total") - sent <= STREAMS * PROMPT * 1000
    assert four.told("remote_prefill_total") >= STREAMS
    assert four.told("remote_prefill_fallback_total") == 0
    assert all(four.of(worker, "dynamo_component_requests_total") > 1 for worker in (*four.prefill, *four.decode))
    four.until_free()


@pytest.mark.alone
def test_workers_that_meet_are_both_asked_at_once(met: Halves, texts: list[str]) -> None:
    computed, transfers = "mock_prompt_tokens_computed_total", met.told("kv_transfer_total")
    before = sum(met.of(worker, computed) for worker in met.decode)

    def disturb(answers: list[Answer]) -> None:
        until(lambda: all(met.of(worker, "mock_kv_blocks_active") for worker in met.decode))
        assert not any(met.of(worker, "mock_kv_kept_sequences") for worker in met.prefill)

    assert_whole(met.loaded(disturb), texts)
    assert sum(met.of(worker, computed) for worker in met.decode) == before
    assert met.told("kv_transfer_total") == transfers + STREAMS
    met.until_free()


def test_an_answer_tells_who_prefilled_it_and_how_long_that_took(four: Halves) -> None:
    fields = {"nvext": {"extra_fields": ["worker_id", "timing"]}}
    nvext = ask(four.url, MODEL, "once upon a time " * 50, **fields).json()["nvext"]
    assert nvext["worker_id"]["prefill_worker"] in four.prefill
    assert nvext["worker_id"]["decode_worker"] in four.decode
    timing = nvext["timing"]
    assert 0 <= timing["prefill_wait_time_ms"] < timing["ttft_ms"]
    assert 300 < timing["prefill_time_ms"] < timing["ttft_ms"]
    assert 100 < timing["kv_transfer_time_ms"] < timing["ttft_ms"]


# At which moment who is killed

STAGES = ["prefilling", "transferring", "answering"]


def reach(halves: Halves, stage: str, answers: list[Answer]) -> None:
    """Wait until the deployment is in the middle of that."""
    if stage == "prefilling":
        until(lambda: sum(halves.of(worker, "dynamo_component_inflight_requests") for worker in halves.prefill) >= 1)
    elif stage == "transferring":
        until(lambda: all(halves.of(worker, "mock_kv_kept_sequences") for worker in halves.prefill))
        until(lambda: all(halves.of(worker, "dynamo_component_inflight_requests") for worker in halves.decode))
    else:
        until(lambda: all(answer.text for answer in answers))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("victim", ["prefill-0", "decode-0"])
@pytest.mark.parametrize("family", ["four", "met"])
def test_kill_9_of_one_of_two_is_no_more_than_a_pause(
    request: pytest.FixtureRequest, texts: list[str], family: str, stage: str, victim: str
) -> None:
    halves: Halves = request.getfixturevalue(family)
    for worker in (*halves.prefill, *halves.decode):
        forget_caches(halves, worker)
    pid = halves.dynamo.pid(victim)
    transfers = halves.told("kv_transfer_total")

    def disturb(answers: list[Answer]) -> None:
        reach(halves, stage, answers)
        kill(pid)

    answers = halves.loaded(disturb)
    assert_whole(answers, texts)
    assert halves.told("kv_transfer_total") > transfers
    halves.until_free()


def forget_caches(halves: Halves, worker: str) -> None:
    """So that each prompt takes its time again."""
    with admin(halves.run / f"{worker}.sock") as client:
        assert client.post("/engine/clear_kv_blocks", json={}).status_code == 200


@pytest.mark.parametrize("stage", STAGES)
def test_without_another_prefill_worker_the_decode_worker_computes(pair: Halves, texts: list[str], stage: str) -> None:
    for worker in (*pair.prefill, *pair.decode):
        forget_caches(pair, worker)
    pid = pair.dynamo.pid("prefill-0")
    fallbacks = pair.recomputed()

    def disturb(answers: list[Answer]) -> None:
        reach(pair, stage, answers)
        kill(pid)

    assert_whole(pair.loaded(disturb), texts)
    assert (pair.recomputed() > fallbacks) == (stage != "answering")
    pair.until_free()


@pytest.mark.parametrize("stage", STAGES)
def test_without_another_decode_worker_each_stream_says_so(pair: Halves, stage: str) -> None:
    for worker in (*pair.prefill, *pair.decode):
        forget_caches(pair, worker)
    pid = pair.dynamo.pid("decode-0")

    def disturb(answers: list[Answer]) -> None:
        reach(pair, stage, answers)
        kill(pid)

    answers = pair.loaded(disturb)
    assert all(answer.error or (answer.done, answer.reason) == (True, "length") for answer in answers)
    if stage == "answering":
        assert any(answer.error for answer in answers)
    pair.until_free()


# Prefill workers that nobody needs


@pytest.fixture
def lent(four: Halves) -> Iterator[Halves]:
    for worker in (*four.prefill, *four.decode):
        forget_caches(four, worker)
    four.until_free()
    short = {"eff_isl_threshold": PROMPT + 1, "eff_isl_ratio_threshold": 2.0, "prefill_answers_after_s": 0.0}
    four.set_conditional(enabled=True, **short)
    yield four
    four.set_conditional(enabled=False)


def test_prefill_workers_that_nobody_needs_answer_too(lent: Halves, texts: list[str]) -> None:
    name, transfers = "dynamo_component_requests_total", lent.told("kv_transfer_total")
    before = {worker: lent.of(worker, name) for worker in (*lent.prefill, *lent.decode)}
    assert_whole(lent.loaded(), texts)
    assert all(lent.of(worker, name) > before[worker] for worker in before)
    assert lent.told("kv_transfer_total") == transfers
    assert 0 < lent.told("prefill_workers_answered_total") < STREAMS
    lent.until_free()


def test_when_somebody_does_what_they_answer_goes_on_elsewhere(lent: Halves, texts: list[str]) -> None:
    moved = "dynamo_frontend_model_migration_total"

    def disturb(answers: list[Answer]) -> None:
        until(lambda: all(answer.text for answer in answers))
        assert any(lent.of(worker, "dynamo_component_inflight_requests") for worker in lent.prefill)
        assert ask(lent.url, MODEL, "once upon a time " * 300).status_code == 200

    migrations = metric(lent.run / "frontend-0.sock", moved)
    assert_whole(lent.loaded(disturb), texts)
    assert metric(lent.run / "frontend-0.sock", moved) > migrations
    lent.until_free()
