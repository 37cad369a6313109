"""`dynamo status --router` and `dynamo explain`, and a worker that no frontend sees, in real deployments."""

from __future__ import annotations

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.dynamo import EXECUTABLE, TOPOLOGIES, Dynamo, kill
from tests.supervisor.harness import until

pytestmark = pytest.mark.slow
WORDS = "the water people find long day come made part may number see " * 20
SLOW = "workers.decode.options={speedup_ratio=0.2}"
"""30 ms a token."""


class Deployed:
    def __init__(self, dynamo: Dynamo, *settings: str, home: Path) -> None:
        self.dynamo = dynamo
        options = [word for setting in ("frontend.port=0", *settings) for word in ("--set", setting)]
        started = dynamo.run("up", "-d", str(TOPOLOGIES / "agg_router.toml"), *options)
        assert started.code == 0, started.err
        status = dynamo.status()
        self.url: str = status["url"]
        self.model: str = status["models"][0]
        self.name: str = status["deployment"]
        self.run = home / self.name / "run"

    def ask(self, name: str, text: str = WORDS, tokens: int = 2) -> dict[str, Any]:
        """Over a connection of its own, so that the kernel chooses the frontend."""
        body = {"model": self.model, "messages": [{"role": "user", "content": text}], "max_tokens": tokens}
        headers = {"x-request-id": name}
        answer = httpx.post(
            f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=60.0, trust_env=False
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def explained(self, name: str) -> dict[str, Any]:
        (found,) = json.loads(self.dynamo.run("explain", name, "--json").out)["requests"]
        return dict(found)

    def routing(self) -> dict[str, Any]:
        return dict(json.loads(self.dynamo.run("status", "--router", "--json").out))

    def down(self) -> None:
        assert self.dynamo.run("down").code == 0


def test_two_frontends_tell_one_truth_and_how_each_request_went(dynamo: Dynamo, clean_environment: Path) -> None:
    deployed = Deployed(dynamo, SLOW, "frontend.replicas=2", "workers.decode.replicas=2", home=clean_environment)
    answers = [deployed.ask(f"mine-{number}") for number in range(3)]
    last = deployed.explained("mine-2")
    assert last == deployed.explained(answers[2]["id"]) == deployed.explained(answers[2]["id"][:-2])
    ((leg,),) = last["choices"]
    costs = {one["worker"]: one["cost"] for one in leg["candidates"]}
    assert set(costs) == {"decode-0", "decode-1"} and costs[leg["worker"]] == min(costs.values())
    assert last["cached_tokens"] == leg["prompt_blocks"] * 64 > 0
    words = dynamo.run("explain", "mine-2").out
    blocks = leg["prompt_blocks"]
    assert f"{leg['worker']}, after" in words and f"{blocks} of {blocks} blocks cached there; cost" in words
    assert re.search(rf"> {leg['worker']} .*\n", words) and "finished by length" in words
    check_what_is_wrong_is_said(dynamo)
    check_one_truth(deployed, leg["worker"], last["prompt_tokens"])
    check_a_request_that_moved(deployed)
    deployed.down()
    assert "is not running" in dynamo.run("explain", "mine-2", "-d", deployed.name).err


def check_what_is_wrong_is_said(dynamo: Dynamo) -> None:
    several, unknown = dynamo.run("explain", "mine"), dynamo.run("explain", "nobody")
    assert several.code == 2 and "several requests begin with mine: mine-2, mine-1, mine-0" in several.err
    assert unknown.code == 3 and "no frontend remembers a request nobody, and no access line names it" in unknown.err
    assert "since " in unknown.err
    lines = dynamo.run("explain", "-n", "2").out.splitlines()
    assert [line.split()[1] for line in lines] == ["ID", "mine-2", "mine-1"]
    refused = dynamo.run("status", "--router", "--watch")
    assert refused.code == 2 and "--router shows what is known now" in refused.err


def check_one_truth(deployed: Deployed, worker: str, prompt: int) -> None:
    found = until(lambda: seen if not (seen := deployed.routing())["notes"] else None, 10.0, "a single view")
    assert found is not None
    assert [one["knows"] for one in found["frontends"]] == [["frontend-1"], ["frontend-0"]]
    mine = next(one for one in found["workers"] if one["worker"] == worker)
    assert mine["routed"] in (3, 4) and mine["hit"] == pytest.approx(2 * (prompt // 64 * 64) / (3 * prompt), abs=0.05)
    assert (mine["requests"], mine["queued_tokens"], mine["active_blocks"]) == (0, 0, 0)
    assert mine["total_blocks"] == 16384 and mine["blocks_known"] >= prompt // 64
    text = deployed.dynamo.run("status", "--router").out
    assert "router mode kv  frontend-0, frontend-1 know of each other" in text and "blocks of 64 tokens" in text
    assert re.search(rf"^{worker} +[\d,]+ of 16,384 +\d+%", text, re.MULTILINE)


def check_a_request_that_moved(deployed: Deployed) -> None:
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(deployed.ask, "moved", tokens=100)
        running = until(lambda: _begun(deployed, "moved"), 10.0, "its first token")
        assert running is not None
        lost = running["choices"][0][0]["worker"]
        kill(deployed.dynamo.pid(lost))
        assert asking.result()["usage"]["completion_tokens"] == 100
    first, second = deployed.explained("moved")["choices"][0]
    assert (first["worker"], second["worker"]) == (lost, "decode-1" if lost == "decode-0" else "decode-0")
    assert 0 < first["tokens"] < 100 and first["left"]
    words = deployed.dynamo.run("explain", "moved").out
    assert f"lost there after {first['tokens']} token" in words and f"\n{second['worker']}, after" in words
    listed = deployed.dynamo.run("explain", "-n", "1").out
    assert f"{first['worker']} > {second['worker']}" in listed


def _begun(deployed: Deployed, name: str) -> dict[str, Any] | None:
    result = deployed.dynamo.run("explain", name, "--json")
    found = json.loads(result.out)["requests"] if result.code == 0 else []
    return dict(found[0]) if found and found[0].get("running") and "ttft_s" in found[0] else None


def test_a_worker_elsewhere_is_named_and_forgotten_requests_have_a_line(
    dynamo: Dynamo, clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYN_EXPLAIN_REQUESTS", "2")
    deployed = Deployed(dynamo, "router.mode=least-loaded", "workers.decode.replicas=1", home=clean_environment)
    command = [EXECUTABLE, "mocker", "--model", deployed.model, "--namespace", "other"]
    environ = {**os.environ, "DYNAMO_DEPLOYMENT": deployed.name}
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as worker:
        try:
            for number in range(3):
                deployed.ask(f"r{number}")
            forgotten = dynamo.run("explain", "r0")
            assert forgotten.code == 0 and "dynamo.access: POST /v1/chat/completions 200" in forgotten.out
            assert "request=r0" in forgotten.out
            words = dynamo.run("explain", "r2").out
            assert "decode-0, after" in words and "nobody else could take it" in words
            said = f"pid-{worker.pid}: is ready, but registered in namespace other, this frontend looks in dynamo"
            until(lambda: said in dynamo.run("status").out, 30.0, "a note")
            assert any(note.startswith(said) for note in dynamo.status()["notes"])
        finally:
            worker.terminate()
            worker.wait(20)
    metrics = httpx.get(f"{deployed.url}/metrics", trust_env=False).text
    metric = rf'^dynamo_component_router_unseen_workers\{{model="{deployed.model}",reason="elsewhere"\}} \d$'
    assert re.search(metric, metrics, re.MULTILINE)
    until(lambda: not dynamo.status()["notes"], 20.0, "the end of the note")
    text = dynamo.run("status", "--router").out
    assert "router mode least-loaded  frontend-0" in text and "requests in flight:" in text
    assert re.search(r"^decode-0 +0$", text, re.MULTILINE)
    logs = dynamo.run("logs", "frontend", "--level", "warning").out
    assert logs.count("registered in namespace other") == 1
    deployed.down()
