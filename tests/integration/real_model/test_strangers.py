"""Nobody but the deployment itself, and nobody but its user, gets anything from its sockets."""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from dynamo_cli.errors import Unauthorized
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.runtime import DistributedRuntime
from tests.integration.dynamo import admin
from tests.integration.real_model.conftest import Agg
from tests.integration.real_model.strangers import GARBAGE, Listening, as_nobody, family, listening, refused

pytestmark = pytest.mark.slow


@pytest.fixture
def processes(agg: Agg) -> list[psutil.Process]:
    found = family(agg.dynamo.status()["supervisor_pid"])
    assert len(found) == 5, "supervisor, log keeper, frontend, worker, engine"
    return found


@pytest.fixture
def private(agg: Agg, processes: list[psutil.Process]) -> Listening:
    """All that listens but the public port."""
    unix, tcp = listening(processes)
    assert tcp.pop(int(agg.url.rpartition(":")[2])) == "127.0.0.1"
    return Listening(unix, tcp)


def test_what_listens_is_known_and_local(agg: Agg, private: Listening) -> None:
    names = sorted(Path(path).name for path in private.unix)
    assert names == ["control.sock", "decode-0.sock", "engine.sock", "frontend-0.sock", "keeper"]
    assert list(private.tcp.values()) == ["127.0.0.1"]
    for path in map(Path, private.unix):
        assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("garbage", GARBAGE)
def test_the_plane_closes_on_a_peer_without_the_token(private: Listening, garbage: str) -> None:
    (port,) = private.tcp
    received = b""
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        assert client.recv(4096), "the nonce"
        client.sendall(GARBAGE[garbage])
        with suppress(ConnectionResetError):
            while chunk := client.recv(4096):
                received += chunk
    assert refused(received)


async def test_a_component_with_another_token_gets_no_answer(agg: Agg) -> None:
    environ = {"DYNAMO_HOME": str(agg.root.parent), "DYNAMO_DEPLOYMENT": "agg", "DYN_TOKEN": "guess"}
    config = RuntimeConfig.from_args(None, environ)
    async with await DistributedRuntime.create(config) as runtime:
        client = await runtime.endpoint("dynamo.backend.generate").client()
        await client.wait_for_instances(1, timeout_s=10)
        with pytest.raises(Unauthorized):
            async for _ in client.random(EngineRequest(agg.model, [1, 2])):
                pytest.fail("it answered")
        await client.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_reaches_no_socket_and_no_secret(agg: Agg, private: Listening) -> None:
    files = [str(agg.root / "token"), str(agg.root / "plan.json")]
    got = as_nobody(sorted(private.unix), sorted(private.tcp), files)
    assert got["uid"] != os.getuid()
    assert set(got["unix"].values()) == {"PermissionError"}, got
    assert set(got["files"].values()) == {"PermissionError"}, got
    assert len(got["tcp"]) == len(GARBAGE)
    assert all(refused(bytes.fromhex(received)) for received in got["tcp"].values()), got


@pytest.mark.parametrize("path", ["/slots", "/props", "/metrics", "/v1/models"])
def test_the_engine_answers_nobody_without_its_key(private: Listening, path: str) -> None:
    engine = next(Path(path) for path in private.unix if path.endswith("engine.sock"))
    for headers in ({}, {"authorization": "Bearer guess"}):
        with admin(engine) as client:
            assert client.get(path, headers=headers).status_code == 401
            asked = {"prompt": "hello", "n_predict": 1}
            assert client.post("/completion", json=asked, headers=headers).status_code == 401


def test_no_secret_is_in_a_command_line_or_a_file(agg: Agg, processes: list[psutil.Process]) -> None:
    token = (agg.root / "token").read_text()
    assert all(token not in process.environ().values() for process in processes)
    said = "\n".join(" ".join(process.cmdline()) for process in processes)
    files = {path: path.read_text(errors="replace") for path in agg.root.rglob("*") if path.is_file()}
    logs = [text for path, text in files.items() if path.suffix == ".log"]
    assert len(logs) >= 3
    assert [path.name for path, text in files.items() if token in text] == ["token"]
    for text in (said, *logs):
        assert not re.search("(?<!cmpl-)[0-9a-f]{32}", text), "something like a key, and no request's id"
