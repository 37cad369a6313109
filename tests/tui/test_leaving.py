"""How one leaves, and what is seen when the deployment ends by itself."""

from __future__ import annotations

import os

import pytest

from dynamo_cli.supervisor.processes import ProcessId
from dynamo_cli.supervisor.record import write
from dynamo_cli.tui.app import DeploymentApp
from tests.tui.fake import fake_deployment
from tests.tui.scenes import all_failed, starting, under_load
from tests.tui.screen import Shown, showing, showing_scene


async def ended(shown: Shown) -> str | None:
    await shown.until(lambda: not shown.app.is_running or shown.app.return_value, "the end")
    return shown.app.return_value


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_a_guest_just_goes(key: str) -> None:
    async with showing_scene(under_load()) as (shown, client):
        await shown.press(key)
        assert await ended(shown) == "left"
        assert client.orders == []


@pytest.mark.parametrize("keys", [["q", "l"], ["ctrl+c", "down", "enter"]], ids=str)
async def test_who_started_it_may_leave_it_running(keys: list[str]) -> None:
    async with showing_scene(under_load(), owns=True) as (shown, client):
        await shown.press(keys[0])
        await shown.sees("Quit: what becomes of chat?", "Leave it running")
        await shown.press(*keys[1:])
        assert await ended(shown) == "left"
        assert client.orders == ["detach"]


@pytest.mark.parametrize("keys", [["q", "s"], ["q", "enter"], ["ctrl+c", "ctrl+c"]], ids=str)
async def test_who_started_it_may_stop_it_and_sees_that_it_stops(keys: list[str]) -> None:
    scene = under_load()
    deployment = scene.begin()
    async with showing(deployment, owns=True) as shown:
        await shown.sees("READY")
        await shown.press(keys[0])
        await shown.sees("Quit: what becomes of chat?")
        await shown.press(keys[1])
        await shown.until(lambda: deployment.fake.orders == ["stop all"])
        deployment.fake.told.state = "STOPPING"
        deployment.fake.happens()
        await shown.sees("◌ STOPPING", "stopping in order; Ctrl-C ends it at once")
        deployment.ends()
        assert await ended(shown) == "stopped"


async def test_ctrl_c_while_it_stops_ends_it_at_once_and_q_does_not() -> None:
    async with showing_scene(under_load(), owns=True) as (shown, client):
        await shown.press("q")
        await shown.sees("Quit: what becomes of chat?")
        await shown.press("s")
        await shown.until(lambda: client.orders == ["stop all"])
        await shown.press("q")
        await shown.sees("chat is stopping in order")
        await shown.press("ctrl+c")
        await shown.until(lambda: client.orders == ["stop all", "force"])


async def test_cancelling_stays() -> None:
    async with showing_scene(under_load(), owns=True) as (shown, client):
        await shown.press("q")
        await shown.sees("Quit: what becomes of chat?")
        await shown.press("escape")
        await shown.sees("following")
        assert (client.orders, shown.app.return_value) == ([], None)


async def test_a_supervisor_that_refuses_is_not_left() -> None:
    async with showing_scene(under_load(), owns=True) as (shown, client):
        client.refusal = "chat cannot be detached now"
        await shown.press("q")
        await shown.sees("Leave it running")
        await shown.press("l")
        await shown.sees("chat cannot be detached now")
        assert shown.app.return_value is None


async def test_the_palette_stops_everything_after_asking() -> None:
    async with showing_scene(under_load()) as (shown, client):
        await shown.app.run_action("stop_all")
        await shown.sees("Stop all of chat?")
        await shown.press("s")
        await shown.until(lambda: client.orders == ["stop all"])


async def test_it_stays_when_the_deployment_has_ended_until_a_key() -> None:
    deployment = under_load().begin()
    async with showing(deployment, owns=True) as shown:
        await shown.sees("READY")
        deployment.ends("the first of its workers failed")
        await shown.sees("■ ENDED", "chat has ended (q closes this)", "✗ the first of its workers failed")
        assert [line.split()[2] for line in shown.lines if "frontend-0 " in line and "│" not in line] == ["STOPPED"]
        await shown.press("down", "w", "d")
        await shown.sees("── details")
        await shown.press("q")
        assert await ended(shown) == "ended"


async def test_a_supervisor_that_died_is_told_of() -> None:
    deployment = under_load().begin()
    async with showing(deployment) as shown:
        await shown.sees("READY")
        deployment.record.supervisor = ProcessId(os.getpid(), 1)
        write(deployment.paths.state, deployment.record)
        deployment.fake.gone = True
        deployment.fake.happens()
        await shown.sees("supervisor died (pid", "nothing is left of it")
        deployment.fake.gone = False
        await shown.misses("supervisor died")


async def test_a_supervisor_that_does_not_listen_yet_is_waited_for() -> None:
    deployment = fake_deployment(starting().status)
    deployment.fake.gone = True
    async with showing(deployment, owns=True) as shown:
        await shown.sees("STARTING")
        assert "ENDED" not in shown.text
        deployment.fake.gone = False
        await shown.sees("weights 11/14, 19 s")


async def test_all_failed_stays_with_the_cause_on_top() -> None:
    deployment = all_failed().begin()
    async with showing(deployment, owns=True) as shown:
        await shown.sees("✗ FAILED", "decode-0: out of GPU memory", "→ lower gpu_memory_utilization to 0.84")
        await shown.sees("evidence in ~/.local", "decode-0 │ ValueError: To serve at least one request")
        deployment.ends(deployment.fake.told.reason)
        await shown.sees("■ ENDED", "✗ decode-0: out of GPU memory", "→ lower gpu_memory_utilization to 0.84")
        await shown.sees("decode-0 │ ValueError: To serve at least one request")


async def test_a_ui_that_fails_is_no_ending() -> None:
    app = DeploymentApp(under_load().begin(), owns=False)
    with pytest.raises(ZeroDivisionError):
        async with app.run_test():
            app.call_later(lambda: 1 // 0)
    assert app.return_value is None
