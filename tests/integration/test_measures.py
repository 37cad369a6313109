"""What `status`, `top` and `/metrics` say of a deployment under load is one truth."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from dynamo_cli.supervisor.deployments import select
from dynamo_cli.supervisor.measuring.traffic import Told, told
from tests.integration.dynamo import EXECUTABLE, TOPOLOGIES, Dynamo, ask, cpu_s_of, kill, metric
from tests.integration.steady import serve_while
from tests.supervisor.harness import until
from tests.terminal import Terminal
from tests.tui.screen import showing

pytestmark = pytest.mark.slow
PROMPT_TOKENS, TOKENS = 64, 16
TOLERANCE = 0.35
"""Of rates over ten seconds: streams that begin together end together, and a look is before or after that."""


class Deployed:
    def __init__(self, dynamo: Dynamo, home: Path, topology: str, *settings: str) -> None:
        self.dynamo = dynamo
        options = [part for setting in ("frontend.port=0", *settings) for part in ("--set", setting)]
        started = dynamo.run("up", "-d", str(TOPOLOGIES / topology), *options, timeout_s=120.0)
        assert started.code == 0, started
        status = dynamo.status()
        self.url: str = status["url"]
        self.model: str = status["models"][0]
        self._run = home / status["deployment"] / "run"

    @property
    def public(self) -> Told:
        """What the public port tells now."""
        return told(self._metrics())

    def of_workers(self, name: str) -> float:
        workers = [one["name"] for one in self.dynamo.status()["services"] if one["kind"] == "worker"]
        return sum(metric(self._run / f"{worker}.sock", f"dynamo_component_{name}") for worker in workers)

    def settled(self) -> dict[str, Any]:
        """The status once it tells of all that was answered."""
        public = self.public
        return until(
            lambda: (
                s
                if (s := self.dynamo.status())["traffic"]["requests_total"] == public.requests
                and not s["traffic"]["in_flight"]
                else None
            ),
            5.0,
            f"a status that knows of {public.requests} requests",
        )

    def body(self, prompt: int = PROMPT_TOKENS, tokens: int = TOKENS) -> dict[str, Any]:
        return {"model": self.model, "prompt": list(range(100, 100 + prompt)), "max_tokens": tokens, "ignore_eos": True}

    def _metrics(self) -> bytes:
        return httpx.get(f"{self.url}/metrics", timeout=20.0, trust_env=False).content


@contextmanager
def top(*arguments: str) -> Iterator[list[dict[str, Any]]]:
    """What `dynamo top --json` tells meanwhile; there when it has ended."""
    seen: list[dict[str, Any]] = []
    with subprocess.Popen([EXECUTABLE, "top", "--json", *arguments], stdout=subprocess.PIPE, text=True) as process:
        yield seen
        process.terminate()
        out, _ = process.communicate(timeout=20)
    seen += [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize(
    ("topology", "settings", "streams"),
    [("multi_frontend.toml", ("workers.decode.options.speedup_ratio=0.2",), 8), ("agg.toml", (), 3)],
    ids=["mock", "llamacpp"],
)
def test_all_numbers_agree(
    dynamo: Dynamo, clean_environment: Path, topology: str, settings: tuple[str, ...], streams: int
) -> None:
    deployed = Deployed(dynamo, clean_environment, topology, *settings)
    seen: list[dict[str, Any]] = []
    rates: list[float] = []
    medians: list[float | None] = []

    def look() -> None:
        """For as long as a window is, from the first answers on."""
        until(lambda: deployed.public.requests >= streams, 30.0, "some load")
        began, before = time.monotonic(), deployed.public
        while not seen or time.monotonic() - began < seen[-1]["traffic"]["window_s"] + 1.0:
            lower = deployed.public.requests if not seen else seen[-1]["traffic"]["requests_total"]
            seen.append(dynamo.status())
            assert seen[-1]["traffic"]["requests_total"] <= deployed.public.requests
            assert lower - 3 * streams <= seen[-1]["traffic"]["requests_total"]
        after, took = deployed.public, time.monotonic() - began
        medians.append(after.first_token.since(before.first_token).quantile(0.5))
        medians.append(after.between.since(before.between).quantile(0.5))
        rates.extend([(after.requests - before.requests) / took, (after.output - before.output) / took])

    with top("-d", "0.2") as watched:
        assert serve_while(look, deployed.url, deployed.body(), streams).failures == []
    status, public = deployed.settled(), deployed.public
    traffic = status["traffic"]
    assert traffic["requests_total"] == public.requests == deployed.of_workers("requests_total")
    assert traffic["output_tokens_total"] == public.output == TOKENS * public.requests
    assert deployed.of_workers("output_tokens_total") == public.output
    assert deployed.of_workers("prompt_tokens_total") == public.prompt == PROMPT_TOKENS * public.requests
    assert (traffic["failed_total"], traffic["transfers"]) == (0, None)
    assert json.loads(dynamo.run("top", "--json", "-n", "1").out)["traffic"]["requests_total"] == public.requests
    assert asyncio.run(shown_in_the_ui(f"{public.requests:,.0f} answered"))

    busy = seen[-1]["traffic"]
    assert [busy["requests_s"], busy["output_tokens_s"]] == pytest.approx(rates, rel=TOLERANCE)
    by_workers = [one["serving"] for one in seen[-1]["services"] if one["serving"]]
    assert sum(one["output_tokens_s"] for one in by_workers) == pytest.approx(busy["output_tokens_s"], rel=TOLERANCE)
    assert sum(one["requests_s"] for one in by_workers) == pytest.approx(busy["requests_s"], rel=TOLERANCE)
    assert sum(one["prompt_tokens_s"] for one in by_workers) == pytest.approx(busy["prompt_tokens_s"], rel=TOLERANCE)
    assert [busy["ttft_p50_s"], busy["itl_p50_s"]] == pytest.approx(medians, rel=2 * TOLERANCE)
    assert busy["ttft_p50_s"] <= busy["ttft_p99_s"] and busy["itl_p50_s"] <= busy["itl_p99_s"]
    assert_sane([*watched, status])
    assert max(each["traffic"]["in_flight"] for each in [*watched, *seen]) in range(1, streams + 1)
    assert max(running(each) for each in [*watched, *seen]) in range(1, streams + 1)
    assert all(one["use"]["memory"] > 10**7 for one in status["services"])


async def shown_in_the_ui(words: str) -> bool:
    async with showing(select(None), size=(120, 36)) as shown:
        await shown.sees(words)
    return True


def running(status: dict[str, Any]) -> int:
    """Requests at all workers."""
    each = [one["serving"] for one in status["services"] if one["serving"]]
    return sum(serving["running"] + serving["waiting"] for serving in each)


def assert_sane(statuses: list[dict[str, Any]]) -> None:
    """No total goes back, no rate is below 0."""
    assert statuses
    totals = [status["traffic"]["requests_total"] for status in statuses if status["traffic"]]
    assert totals == sorted(totals)
    for status in statuses:
        measures = [status["traffic"] or {}, *(one["serving"] or {} for one in status["services"])]
        assert all(value >= 0 for each in measures for name, value in each.items() if name.endswith("_s") and value)


def test_kill_9_of_a_worker_under_load_turns_no_number_back(dynamo: Dynamo, clean_environment: Path) -> None:
    deployed = Deployed(dynamo, clean_environment, "mock.toml", "workers.decode.options.speedup_ratio=0.5")
    pid = dynamo.pid("decode-0")

    def disturb() -> None:
        until(lambda: deployed.public.requests >= 8, 30.0, "some load")
        kill(pid)
        dynamo.until("DEGRADED", 10.0)
        dynamo.until("READY", 20.0)

    with top("-d", "0.1") as watched:
        assert serve_while(disturb, deployed.url, deployed.body(), 4).failures == []
    assert_sane(watched)
    status = deployed.settled()
    assert status["traffic"]["output_tokens_total"] == deployed.public.output == TOKENS * deployed.public.requests
    decode = [next(one for one in each["services"] if one["name"] == "decode-0") for each in watched]
    assert any(one["restarts"] == 1 and one["serving"] for one in decode), "the new process was not measured"


def test_what_moves_between_workers_is_told_and_a_probe_is_nobodys_request(
    dynamo: Dynamo, clean_environment: Path
) -> None:
    deployed = Deployed(dynamo, clean_environment, "disagg_router.toml")
    assert deployed.public == Told(first_token=deployed.public.first_token, between=deployed.public.between)
    assert sum(one["routed"] for one in json.loads(dynamo.run("status", "--router", "--json").out)["workers"]) == 0
    assert deployed.of_workers("requests_total") == 0
    assert ask(deployed.url, deployed.model).status_code == 200
    assert (deployed.public.requests, deployed.public.kept_local) == (1, 1)
    body = deployed.body(1000)
    for at in range(3):
        answer = httpx.post(f"{deployed.url}/v1/completions", json=body | {"prompt": [at + 7, *body["prompt"]]})
        assert answer.status_code == 200
    transfers, public = deployed.settled()["traffic"]["transfers"], deployed.public
    assert transfers["transfers_total"] == public.transfers == 3
    assert transfers["bytes_total"] == public.bytes > 10**6
    assert (transfers["kept_local_total"], transfers["fallbacks_total"]) == (1, 0)
    assert transfers["bytes_s"] > 0
    table = dynamo.run("status").out
    assert "3 in all" in table and "1 kept local  0 fallbacks" in table and "mock prefill" in table
    assert max(map(len, dynamo.run("top", "-n", "1").out.splitlines())) <= 80
    assert cpu_s_of(lambda: dynamo.run("status")) < 1.0


def test_top_in_a_terminal_ends_with_q(dynamo: Dynamo, clean_environment: Path) -> None:
    Deployed(dynamo, clean_environment, "echo.toml")
    with Terminal("top", "-d", "0.2") as terminal:
        terminal.wait_for("no requests yet")
        terminal.wait_for("frontend-0")
        terminal.wait_for("frontend-0")
        terminal.type("q")
        assert terminal.end() == 0
    with Terminal("top") as terminal:
        terminal.wait_for("decode-0")
        terminal.type("\x03")
        assert terminal.end() == 130


def test_top_without_a_deployment_says_so(dynamo: Dynamo) -> None:
    result = dynamo.run("top")
    assert (result.code, result.out) == (3, "")
    assert "no deployment is running" in result.err


def test_top_ends_with_its_deployment(dynamo: Dynamo, clean_environment: Path) -> None:
    Deployed(dynamo, clean_environment, "echo.toml")
    with subprocess.Popen([EXECUTABLE, "top", "-d", "0.1"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and "echo" in process.stdout.readline()
        assert dynamo.run("down").code == 0
        process.communicate(timeout=20)
        assert process.returncode == 0
