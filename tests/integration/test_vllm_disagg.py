"""A prefill and a decode worker of real vLLM: KV moved by NIXL, the same answers as of one worker, a death of each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.dynamo import TOPOLOGIES, Dynamo, admin, kill, metric
from tests.integration.real_model.strangers import family, listening
from tests.supervisor.harness import until
from tests.workers.engines.cases import real

pytestmark = [pytest.mark.slow, *real("vllm"), pytest.mark.timeout(900)]
ARGS = '["--max-model-len","2048","--block-size","32","--dtype","float32"]'
ENVIRONMENT = '{OMP_NUM_THREADS="1",VLLM_CPU_KVCACHE_SPACE="1"}'
LENGTHS = [round(10 * 150 ** (number / 29)) for number in range(30)]
"""30 prompts of 10 to 1,500 tokens."""
TOKENS, TIE = 16, 1e-4
TEXT = (Path(__file__).parents[2] / "LICENSE").read_text()


class Served:
    def __init__(self, dynamo: Dynamo) -> None:
        status = dynamo.status()
        self.dynamo = dynamo
        self.url: str = status["url"]
        self.model: str = status["models"][0]
        self.run = Path(os.environ["DYNAMO_HOME"]) / str(status["deployment"]) / "run"

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}{path}", json={"model": self.model, **body}, timeout=300.0, trust_env=False)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def tokens(self, text: str) -> list[int]:
        return list(self.post("/tokenize", {"prompt": text})["tokens"])

    def complete(self, prompt: list[int], tokens: int = TOKENS) -> dict[str, Any]:
        asked = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "logprobs": 2}
        return self.post("/v1/completions", asked)

    def told(self, name: str) -> float:
        return metric(self.run / "frontend-0.sock", f"dynamo_frontend_{name}")

    def counted(self, worker: str, name: str) -> float:
        """Of the engine's own counters."""
        return metric(self.run / f"{worker}.sock", f"vllm:{name}")

    def at_work(self, worker: str) -> None:
        """Wait until it has a request."""
        socket = self.run / f"{worker}.sock"
        until(lambda: metric(socket, "dynamo_component_inflight_requests"), 60.0, f"a request at {worker}")

    def computed(self, worker: str, source: str) -> float:
        with admin(self.run / f"{worker}.sock") as client:
            lines = client.get("/metrics").text.splitlines()
        own = [one for one in lines if one.startswith("vllm:prompt_tokens_by_source_total{") and f'"{source}"' in one]
        return sum(float(line.rpartition(" ")[2]) for line in own)


@contextmanager
def served(dynamo: Dynamo, topology: str, *pools: str) -> Iterator[Served]:
    sets = ["frontend.port=0"]
    sets += [
        setting for pool in pools for setting in (f"workers.{pool}.args={ARGS}", f"workers.{pool}.env={ENVIRONMENT}")
    ]
    options = [word for setting in sets for word in ("--set", setting)]
    started = dynamo.run("up", "-d", str(TOPOLOGIES / topology), *options, "--timeout", "500", timeout_s=520)
    assert started.code == 0, started.err
    yield Served(dynamo)
    assert dynamo.run("down").code == 0


def prompts(served: Served) -> list[list[int]]:
    """No two with a common beginning, so that all of each has to be computed."""
    ids = served.tokens(TEXT)
    return [ids[23 * number : 23 * number + length] for number, length in enumerate(LENGTHS)]


def logprobs_of(answer: dict[str, Any]) -> dict[str, Any]:
    return dict(answer["choices"][0]["logprobs"])


def parts_at_a_tie(alone: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the answers differ. AssertionError when they do where one token was clearly likelier."""
    for place, (one, two) in enumerate(zip(alone["tokens"], other["tokens"], strict=True)):
        if one != two:
            likeliest = sorted(alone["top_logprobs"][place].values(), reverse=True)
            assert likeliest[0] - likeliest[1] < TIE, (place, one, two, likeliest)
            return True
    return False


def test_one_worker_prefills_another_decodes_and_the_answers_are_those_of_one(
    dynamo: Dynamo, clean_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(dynamo, "disagg_vllm.toml", "prefill", "decode") as both:
        check_what_listens(both)
        asked = prompts(both)
        assert [len(prompt) for prompt in asked] == LENGTHS
        before = counts(both)
        apart = [logprobs_of(both.complete(prompt)) for prompt in asked]
        more = {name: count - before[name] for name, count in counts(both).items()}
        assert more["computed"] == 0, "the decode worker computed nothing of the prompts"
        assert more["fetched"] == more["transferred"] == sum(LENGTHS)
        assert (more["prefills"], more["fallbacks"]) == (len(LENGTHS), 0)
        size = more["engine's bytes"]
        assert size == more["bytes"] > sum(LENGTHS) * 40_000
        seconds = both.counted("decode-0", "nixl_xfer_time_seconds_sum")
        with capsys.disabled():
            print(f"\n{len(LENGTHS)} transfers, {size / 1e6:.0f} MB in {seconds * 1e3:.0f} ms")
        check_lending(both, asked[:4], apart[:4])
        check_letting_go(both)
        check_deaths(both)
    with served(dynamo, "agg_vllm.toml", "decode") as one:
        alone = [logprobs_of(one.complete(prompt)) for prompt in asked]
    ties = sum(parts_at_a_tie(*pair) for pair in zip(alone, apart, strict=True))
    with capsys.disabled():
        print(f"{ties} of {len(LENGTHS)} answers part where two tokens are equally likely")


def counts(both: Served) -> dict[str, float]:
    """Of the decode worker's own and the frontend's."""
    return {
        "computed": both.computed("decode-0", "local_compute"),
        "fetched": both.computed("decode-0", "external_kv_transfer"),
        "engine's bytes": both.counted("decode-0", "nixl_bytes_transferred_sum"),
        "transferred": both.told("kv_transfer_tokens_total"),
        "bytes": both.told("kv_transfer_bytes_total"),
        "prefills": both.told("remote_prefill_total"),
        "fallbacks": both.told("remote_prefill_fallback_total"),
    }


def check_what_listens(both: Served) -> None:
    tcp = listening(family(both.dynamo.status()["supervisor_pid"])).tcp
    public = int(both.url.rpartition(":")[2])
    assert {address for port, address in tcp.items() if port != public} == {"127.0.0.1"}


def check_lending(both: Served, asked: list[list[int]], apart: list[dict[str, Any]]) -> None:
    """A prefill worker that nobody needs answers too."""
    name, settings = "conditional_disagg", {"eff_isl_threshold": 2000, "eff_isl_ratio_threshold": 2.0}
    both.post(f"/{name}", {"enabled": True, "prefill_answers_after_s": 0.0, **settings})
    transfers = both.told("kv_transfer_total")
    with ThreadPoolExecutor(len(asked)) as threads:
        lent = [logprobs_of(answer) for answer in threads.map(both.complete, asked)]
    assert both.told("prefill_workers_answered_total") > 0
    assert both.told("kv_transfer_total") == transfers
    for one, other in zip(apart, lent, strict=True):
        parts_at_a_tie(one, other)
    both.post(f"/{name}", {"enabled": False})


def check_letting_go(both: Served) -> None:
    """Blocks that nobody fetches are free long before vLLM's lease of them ends."""
    pid, ids = both.dynamo.pid("decode-0"), both.tokens(TEXT)
    prefills, freed = both.told("remote_prefill_total"), "nixl_num_kv_expired_reqs_total"
    before = both.counted("prefill-0", freed)
    os.kill(pid, signal.SIGSTOP)
    try:
        body = {"model": both.model, "prompt": ids[500:1500], "max_tokens": 4}
        with suppress(httpx.ReadTimeout):  # or the frontend has noticed first that the worker says nothing
            answer = httpx.post(f"{both.url}/v1/completions", json=body, timeout=8.0, trust_env=False)
            assert answer.status_code in (503, 504), answer.text
        assert both.told("remote_prefill_total") > prefills
        until(lambda: both.counted("prefill-0", freed) > before, 8.0, "the blocks to be free")
    finally:
        os.kill(pid, signal.SIGCONT)


def check_deaths(both: Served) -> None:
    """Without its prefill worker the decode worker computes the prompt; without that one the client is told."""
    ids = both.tokens(TEXT)
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(both.complete, ids[300:1500], 8)
        both.at_work("prefill-0")
        kill(both.dynamo.pid("prefill-0"))
        assert asking.result()["usage"]["completion_tokens"] == 8
    assert both.told("remote_prefill_fallback_total") >= 1
    both.dynamo.until("READY", 300.0)
    with ThreadPoolExecutor(1) as thread:
        body = {"model": both.model, "prompt": ids[700:800], "max_tokens": 400, "ignore_eos": True}
        asking_too = thread.submit(httpx.post, f"{both.url}/v1/completions", json=body, timeout=60.0, trust_env=False)
        both.at_work("decode-0")
        kill(both.dynamo.pid("decode-0"))
        assert asking_too.result().status_code in (502, 503)
    both.dynamo.until("READY", 300.0)
    transfers = both.told("kv_transfer_total")
    assert both.complete(ids[900:1000], 8)["usage"]["completion_tokens"] == 8
    assert both.told("kv_transfer_total") == transfers + 1
