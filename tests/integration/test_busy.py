"""Load shedding in a deployment: workers with little room, two frontends, thresholds that change while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.dynamo import Dynamo, admin, metric
from tests.supervisor.harness import until

pytestmark = pytest.mark.slow

TOPOLOGY = """
name = "busy"
model = "HuggingFaceTB/SmolLM2-135M-Instruct"

[frontend]
port = 0
replicas = 2

[router]
active_prefill_tokens_threshold = 1000000

[workers.decode]
engine = "mock"

[workers.decode.options]
num_gpu_blocks = 16
block_size = 64
"""
UNSET = {
    "active_decode_blocks_threshold": None,
    "active_prefill_tokens_threshold": 1000000,
    "active_prefill_tokens_threshold_frac": None,
}


class Deployed:
    """Its frontends, each asked through its own admin socket."""

    def __init__(self, dynamo: Dynamo, home: Path) -> None:
        assert dynamo.run("up", "-d", dynamo.write(TOPOLOGY)).code == 0
        self.model: str = dynamo.status()["models"][0]
        self.sockets = [home / "busy" / "run" / f"frontend-{n}.sock" for n in (0, 1)]

    def body(self, words: int, max_tokens: int, **fields: Any) -> dict[str, Any]:
        return {"model": self.model, "prompt": "word " * words, "max_tokens": max_tokens, "ignore_eos": True, **fields}

    def ask(self, frontend: int, **fields: Any) -> httpx.Response:
        with admin(self.sockets[frontend]) as client:
            return client.post("/v1/completions", json=self.body(5, 2, **fields))

    def statuses(self) -> list[int]:
        return [self.ask(frontend).status_code for frontend in (0, 1)]

    def change(self, frontend: int, threshold: float | None) -> None:
        change = {"model": self.model, "active_decode_blocks_threshold": threshold}
        with admin(self.sockets[frontend]) as client:
            answer = client.post("/busy_threshold", json=change)
        assert answer.json() == UNSET | change

    def thresholds(self, frontend: int) -> float | None:
        with admin(self.sockets[frontend]) as client:
            (listed,) = client.get("/busy_threshold").json()["thresholds"]
        threshold = listed["active_decode_blocks_threshold"]
        assert listed == {**UNSET, "model": self.model, "active_decode_blocks_threshold": threshold}
        return float(threshold) if threshold is not None else None


def test_busy_workers_shed_load_in_all_frontends(dynamo: Dynamo, clean_environment: Path) -> None:
    deployed = Deployed(dynamo, clean_environment)
    assert deployed.statuses() == [200, 200]
    with (
        admin(deployed.sockets[0]) as client,
        client.stream("POST", "/v1/completions", json=deployed.body(300, 500, stream=True)) as busy,
    ):
        lines = busy.iter_lines()
        assert next(lines).startswith("data: ")
        assert deployed.statuses() == [200, 200]
        deployed.change(0, 0.2)
        until(lambda: deployed.statuses() == [529, 529], 10.0, "load shedding in both frontends")
        refused = deployed.ask(1, stream=True)
        assert (refused.status_code, refused.headers["retry-after"]) == (529, "1")
        assert refused.json()["error"]["type"] == "overloaded"
    until(lambda: deployed.statuses() == [200, 200], 10.0, "recovery")
    assert metric(deployed.sockets[1], "dynamo_frontend_model_rejection_total") >= 2
    assert dynamo.run("restart", "--now", "frontend-0").code == 0
    until(lambda: deployed.thresholds(0) == 0.2, 10.0, "a new frontend that knows the change")
    deployed.change(0, None)
    until(lambda: deployed.thresholds(1) is None, 10.0, "the change in the other frontend")
