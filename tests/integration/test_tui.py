"""The terminal UI attached to a real deployment, without a terminal."""

from __future__ import annotations

import asyncio

import pytest

from dynamo_cli.runtime.control import ServiceStatus
from dynamo_cli.supervisor.deployments import select
from tests.integration.dynamo import Dynamo, ask, kill
from tests.terminal import Terminal
from tests.tui.screen import showing

pytestmark = pytest.mark.slow

MOCK = """
name = "shown"
[frontend]
port = 0
[workers.decode]
engine = "mock"
model = "HuggingFaceTB/SmolLM2-135M-Instruct"
replicas = 2
[workers.decode.options]
speedup_ratio = 10.0
"""


async def test_a_real_deployment_from_ready_to_its_end(dynamo: Dynamo) -> None:
    started = await asyncio.to_thread(dynamo.run, "up", "-d", dynamo.write(MOCK))
    assert started.code == 0, started
    deployment = select(None)
    async with showing(deployment, size=(160, 48)) as shown:
        await shown.sees("● READY", "3/3 ready", "decode-1", "log  all services", "shown is READY")
        await asyncio.to_thread(ask, shown.app.status.url, "HuggingFaceTB/SmolLM2-135M-Instruct")
        await shown.select("decode-1")
        await shown.sees("--engine mock", "DYNAMO_SERVICE=decode-1")
        await shown.until(lambda: "admin" in shown.text and "ok" in shown.text, "its probes")

        def service(name: str) -> ServiceStatus:
            return next(service for service in shown.app.status.services if service.name == name)

        pid = service("decode-1").pid
        await shown.press("r", "n")
        await shown.sees("restart of decode-1 asked for")
        await shown.until(lambda: service("decode-1").ready and service("decode-1").pid != pid, "another process")
        await shown.press("x", "x")
        await shown.sees("■ decode-1", "stopped by hand", "▲ DEGRADED")

        kill(service("decode-0").pid or 0)
        await shown.sees("killed by SIGKILL", "evidence in")

        down = asyncio.create_task(asyncio.to_thread(dynamo.run, "down"))
        await shown.sees("■ ENDED", "shown has ended (q closes this)")
        assert (await down).code == 0
        await shown.press("q")
        await shown.until(lambda: shown.app.return_value == "ended")


@pytest.mark.parametrize("how", ["q", "TERM"])
def test_in_a_real_terminal_it_comes_copies_and_goes(how: str, dynamo: Dynamo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert dynamo.run("up", "-d", dynamo.write(MOCK)).code == 0
    with Terminal("attach", "shown") as terminal:
        terminal.wait_for("READY")
        terminal.type("c")
        terminal.wait_for("\x1b]52;c;")  # lines for the clipboard
        terminal.type("q") if how == "q" else terminal.process.terminate()
        terminal.wait_for("\x1b[?1049l")  # the terminal is as it was
        assert terminal.end() == 0
    assert dynamo.status()["state"] == "READY"
