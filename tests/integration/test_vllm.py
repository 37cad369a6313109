"""Two real vLLM workers behind a KV-aware frontend: answers, second turns, their blocks in the router, a death."""

from __future__ import annotations

import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.dynamo import TOPOLOGIES, Dynamo, kill
from tests.integration.real_model.strangers import as_nobody, family, listening, refused
from tests.supervisor.harness import until
from tests.workers.engines.cases import real

pytestmark = [pytest.mark.slow, *real("vllm")]
SMALL = (
    "frontend.port=0",
    'workers.decode.args=["--max-model-len","2048","--block-size","32","--dtype","float32"]',
    'workers.decode.env={OMP_NUM_THREADS="1",VLLM_CPU_KVCACHE_SPACE="1"}',
)
TOLD = "My name is Ada. I live in a small house by the sea, and every morning I walk along the beach with my dog. "


class Deployed:
    def __init__(self, dynamo: Dynamo) -> None:
        self.dynamo = dynamo
        options = [word for setting in SMALL for word in ("--set", setting)]
        topology = str(TOPOLOGIES / "agg_router_vllm.toml")
        started = dynamo.run("up", "-d", topology, *options, timeout_s=920)
        assert started.code == 0, started.err
        status = dynamo.status()
        self.url: str = status["url"]
        self.model: str = status["models"][0]
        self.run = Path(os.environ["DYNAMO_HOME"]) / str(status["deployment"]) / "run"

    def ask(self, messages: list[dict[str, str]], tokens: int, **more: Any) -> dict[str, Any]:
        body = {"model": self.model, "messages": messages, "max_tokens": tokens, "temperature": 0, **more}
        answer = httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=300.0, trust_env=False)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def blocks(self, socket: str, path: str) -> dict[str, Any]:
        transport = httpx.HTTPTransport(uds=str(self.run / f"{socket}.sock"))
        with httpx.Client(transport=transport, timeout=20.0) as client:
            return dict(client.get(f"http://localhost{path}").raise_for_status().json())

    def known(self, worker_id: str) -> dict[str, Any]:
        models = self.blocks("frontend-0", f"/router/blocks/{worker_id}")["models"]
        return dict(next(iter(models.values()))["workers"][worker_id])


def test_a_deployment_of_real_engines(dynamo: Dynamo, clean_environment: Path) -> None:
    before = rendezvous_files()
    deployed = Deployed(dynamo)
    check_answers(deployed)
    check_what_listens(deployed)
    check_second_turns(deployed)
    check_what_the_router_knows(deployed)
    check_a_worker_that_is_killed(deployed)
    assert dynamo.run("down").code == 0
    assert rendezvous_files() <= before


def rendezvous_files() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("vllm_dist_*"))


def check_answers(deployed: Deployed) -> None:
    sky = deployed.ask([{"role": "user", "content": "What color is the sky?"}], 40)
    assert "blue" in sky["choices"][0]["message"]["content"]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "number", "schema": schema}}
    guided = deployed.ask([{"role": "user", "content": "Name a number."}], 40, response_format=form)
    assert isinstance(json.loads(guided["choices"][0]["message"]["content"])["n"], int)


def check_what_listens(deployed: Deployed) -> None:
    """Nothing but the public port is for others, and what they can connect to nevertheless is what the docs name."""
    status = deployed.dynamo.status()
    everyone = family(status["supervisor_pid"])
    unix, tcp = listening(everyone)
    public = int(deployed.url.rpartition(":")[2])
    assert {address for port, address in tcp.items() if port != public} == {"127.0.0.1"}
    of_vllm = [process for process in everyone if process.name().startswith("VLLM::")]
    assert {process.name() for process in of_vllm} == {"VLLM::EngineCore", "VLLM::Worker"}
    gloo = listening([process for process in of_vllm if process.name() == "VLLM::Worker"]).tcp
    assert set(listening(of_vllm).tcp) == set(gloo), "gloo's are the only ports of vLLM, and in its Worker"
    planes = sorted(set(tcp) - set(gloo) - {public})
    assert len(planes) == len(status["services"]) + 1, "requests and events of each worker, events of the frontend"
    names = {Path(path).name for path in unix}
    assert len(names) > 8 and {"control.sock", "frontend-0.sock", "decode-0.sock", "worker.sock"} < names
    for path in map(Path, unix):
        assert path.is_absolute(), "no abstract name, which has no owner"
        assert path.parent.stat().st_mode & 0o077 == 0
    if os.getuid() == 0:
        got = as_nobody(sorted(unix), planes, [])
        assert set(got["unix"].values()) == {"PermissionError"}, got
        assert all(refused(bytes.fromhex(received)) for received in got["tcp"].values()), got


def check_second_turns(deployed: Deployed) -> None:
    talk = [{"role": "user", "content": TOLD * 4 + "What is my name?"}]
    first = deployed.ask(talk, 16)
    talk += [first["choices"][0]["message"], {"role": "user", "content": "And where do I live?"}]
    second = deployed.ask([{"role": one["role"], "content": one["content"]} for one in talk], 16)["usage"]
    cached = second["prompt_tokens_details"]["cached_tokens"]
    assert cached >= first["usage"]["prompt_tokens"] - 32, "all full blocks of the first turn's prompt"


def check_what_the_router_knows(deployed: Deployed) -> None:
    def differing() -> list[str]:
        found = json.loads(deployed.dynamo.run("status", "--router", "--json").out)["workers"]
        assert sum(one["blocks_known"] for one in found) > 4
        pairs = {one["worker"]: deployed.known(one["worker_id"]) for one in found}
        return [worker for worker, known in pairs.items() if known != deployed.blocks(worker, "/kv_blocks")]

    until(lambda: not differing(), 10.0, "an index that equals what the engines told")


def check_a_worker_that_is_killed(deployed: Deployed) -> None:
    """The text is the same as without it: both engines compute in 32 bits, greedily."""
    talk = [{"role": "user", "content": "Tell me a long story about a fox."}]
    expected = deployed.ask(talk, 96)["choices"][0]["message"]["content"]
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(deployed.ask, talk, 96)
        running = until(lambda: _running(deployed.dynamo), 60.0, "the first token")
        assert running is not None
        kill(deployed.dynamo.pid(running))
        answer = asking.result()
    assert answer["choices"][0]["message"]["content"] == expected
    assert answer["usage"]["completion_tokens"] == 96


def _running(dynamo: Dynamo) -> str | None:
    """The worker of a request that has begun to answer."""
    newest = json.loads(dynamo.run("explain", "-n", "1", "--json").out)["requests"]
    begun = newest and newest[0].get("running") and "ttft_s" in newest[0]
    return str(newest[0]["choices"][0][-1]["worker"]) if begun else None


def test_a_deployment_of_vectors(dynamo: Dynamo, clean_environment: Path) -> None:
    args = ["--runner", "pooling", "--max-model-len", "512", "--block-size", "32", "--kv-cache-memory-bytes", "256M"]
    settings = ("frontend.port=0", f"workers.decode.args={json.dumps(args)}")
    options = [word for setting in settings for word in ("--set", setting)]
    started = dynamo.run("up", "-d", str(TOPOLOGIES / "agg_vllm.toml"), *options, timeout_s=920)
    assert started.code == 0, started.err
    status = dynamo.status()
    near = ["The sky is blue today.", "Today the sky is blue.", "Interest rates were raised by the central bank."]
    body = {"model": status["models"][0], "input": near}
    answer = httpx.post(f"{status['url']}/v1/embeddings", json=body, timeout=60.0, trust_env=False).json()
    one, other, far = [item["embedding"] for item in answer["data"]]
    assert sum(number * number for number in one) == pytest.approx(1.0, abs=1e-3)
    assert _likeness(one, other) > _likeness(one, far)
    assert answer["usage"]["prompt_tokens"] > 15
    shorter = httpx.post(f"{status['url']}/v1/embeddings", json={**body, "dimensions": 8}, trust_env=False)
    assert shorter.status_code == 400 and "no others" in shorter.text
    assert dynamo.run("down").code == 0


def _likeness(one: list[float], other: list[float]) -> float:
    return sum(first * second for first, second in zip(one, other, strict=True))
