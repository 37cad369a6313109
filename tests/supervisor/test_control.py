from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dynamo_cli.errors import NotReady, UsageError
from dynamo_cli.protocol.detail import ServiceDetail
from dynamo_cli.runtime.control import ControlClient, DeploymentStatus, ServiceAction, ServiceStatus
from dynamo_cli.runtime.http import connection
from dynamo_cli.runtime.http.peer import peer_uid
from dynamo_cli.supervisor import table
from dynamo_cli.supervisor.control_server import ControlServer
from dynamo_cli.supervisor.events import EventBus
from tests.supervisor.harness import asyncio_thread

STATUS = DeploymentStatus(
    deployment="agg",
    state="DEGRADED",
    reason="decode-0: killed by SIGKILL",
    url="http://127.0.0.1:8000",
    uptime_s=75.0,
    services=[
        ServiceStatus(name="frontend-0", kind="frontend", state="READY", ready=True, pid=12, uptime_s=75.0),
        ServiceStatus(name="decode-0", kind="worker", engine="mock", state="BACKOFF", restarts=2, ports={"http": 99}),
    ],
)


class Controls:
    """A supervisor that only takes notes."""

    status = STATUS

    def __init__(self, notes: list[object]) -> None:
        self.notes = notes

    async def fresh(self) -> None:
        pass

    def detail(self, name: str) -> ServiceDetail:
        if name == "decode 0/1":
            return ServiceDetail(name=name, argv=["true"])
        raise UsageError(f"agg has no service {name}")

    def stop(self, force: bool = False) -> None:
        self.notes.append(force)

    def act(self, action: ServiceAction, names: list[str], rolling: bool = False, surge: int = 1) -> int:
        if "decod" in names:
            raise UsageError("agg has no service decod; did you mean decode?")
        self.notes.append((action, names, surge) if rolling else (action, names))
        return 7 if rolling else 0

    def apply(self, plan: bytes, base: str, surge: int = 1) -> int:
        self.notes.append((plan, base, surge))
        return 8

    def scale(self, replicas: dict[str, int]) -> None:
        self.notes.append(replicas)


async def test_the_client_reads_what_the_server_says(clean_environment: Path) -> None:
    stops: list[object] = []
    server = ControlServer(clean_environment / "c.sock", Controls(stops), EventBus())
    await server.start()
    try:
        client = ControlClient(clean_environment / "c.sock")
        assert await asyncio_thread(client.status) == STATUS
        await asyncio_thread(client.stop)
        await asyncio_thread(lambda: client.stop(force=True))
        assert stops == [False, True]
    finally:
        await server.close()


async def test_verbs_arrive_and_a_wrong_name_comes_back_as_a_usage_error(clean_environment: Path) -> None:
    notes: list[object] = []
    server = ControlServer(clean_environment / "c.sock", Controls(notes), EventBus())
    await server.start()
    try:
        client = ControlClient(clean_environment / "c.sock")
        await asyncio_thread(lambda: client.act("restart", ["decode-0", "frontend"]))
        await asyncio_thread(lambda: client.scale({"decode": 3}))
        assert notes == [("restart", ["decode-0", "frontend"]), {"decode": 3}]
        assert await asyncio_thread(lambda: client.act("restart", ["decode"], rolling=True, surge=2)) == 7
        assert await asyncio_thread(lambda: client.apply(b'{"a": 1}', "digest")) == 8
        assert notes[2:] == [("restart", ["decode"], 2), (b'{"a": 1}', "digest", 1)]
        with pytest.raises(UsageError, match="agg has no service decod; did you mean decode"):
            await asyncio_thread(lambda: client.act("stop", ["decod"]))
    finally:
        await server.close()


async def test_one_service_is_asked_for_by_any_name(clean_environment: Path) -> None:
    server = ControlServer(clean_environment / "c.sock", Controls([]), EventBus())
    await server.start()
    try:
        client = ControlClient(clean_environment / "c.sock")
        assert (await asyncio_thread(lambda: client.detail("decode 0/1"))).argv == ["true"]
        with pytest.raises(UsageError, match="agg has no service decode-7"):
            await asyncio_thread(lambda: client.detail("decode-7"))
    finally:
        await server.close()


async def test_another_user_is_refused(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "peer_uid", lambda _: 4711)
    server = ControlServer(clean_environment / "c.sock", Controls([]), EventBus())
    await server.start()
    try:
        with pytest.raises(NotReady, match="no supervisor answers"):
            await asyncio_thread(ControlClient(clean_environment / "c.sock").status)
    finally:
        await server.close()


def test_peer_uid_is_ours_on_our_own_pair() -> None:
    import os

    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_uid(ours) == os.getuid()


def test_nobody_answers(clean_environment: Path) -> None:
    with pytest.raises(NotReady, match="no supervisor answers on "):
        ControlClient(clean_environment / "c.sock").status()


def test_a_slow_listener_loses_events_not_memory() -> None:
    bus = EventBus()
    with bus.subscribe() as queue:
        for i in range(5000):
            bus.publish("decode-0", "READY", str(i))
        assert queue.qsize() == 1000
        bus.close()
        assert queue.qsize() == 1000


def test_the_table_as_plain_text() -> None:
    lines = table.plain(STATUS).splitlines()
    assert lines[0] == "agg  DEGRADED  http://127.0.0.1:8000  up 1 min  (decode-0: killed by SIGKILL)"
    assert lines[2].split() == list(table.COLUMNS)
    assert lines[3].split() == ["frontend-0", "frontend", "READY", "yes", "12", "1", "min", "0", "-"]
    assert lines[4].split() == ["decode-0", "mock", "BACKOFF", "no", "-", "-", "2", "http=99"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3900, "1 h 5 min"), (100_000, "1 d 3 h")]
)
def test_uptime(seconds: float, words: str) -> None:
    assert table.uptime(seconds) == words
