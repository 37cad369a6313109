"""Mistakes that need a deployment, or more than a row of test_wrong_use_table.py."""

from __future__ import annotations

import os
import socket

import pytest

from tests.integration.dynamo import TOPOLOGIES, Dynamo, Result

pytestmark = pytest.mark.slow

ECHO = str(TOPOLOGIES / "echo.toml")
PORT_0 = ("--set", "frontend.port=0")


def complaint(result: Result) -> str:
    """The one line on stderr, with nothing on stdout."""
    lines = result.err.strip().splitlines()
    assert len(lines) == 1 and result.out == "", result
    return lines[0]


@pytest.mark.parametrize("flags", [(), ("-d",)])
def test_a_busy_port_names_its_holder(dynamo: Dynamo, flags: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        result = dynamo.run("up", *flags, ECHO, "--set", f"frontend.port={port}")
    assert result.code == 4
    assert complaint(result).startswith(f"dynamo: port {port} is in use by pid {os.getpid()} (")


def test_a_missing_model(dynamo: Dynamo) -> None:
    file = dynamo.write('name = "x"\nmodel = "/nowhere/model.gguf"\n[workers.decode]\nengine = "mock"\n')
    result = dynamo.run("up", file, *PORT_0)
    assert result.code == 5 and "/nowhere/model.gguf" in result.err.strip().splitlines()[-1]


def test_a_second_up_of_the_same_name(dynamo: Dynamo) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    status = dynamo.status()
    for flags in ((), ("-d",)):
        result = dynamo.run("up", ECHO, *PORT_0, *flags)
        where = f"pid {status['supervisor_pid']}, {status['url']}"
        assert result.code == 2
        assert (
            complaint(result) == f"dynamo: deployment echo is already running ({where}); "
            "`dynamo attach echo` shows it, `dynamo down echo` stops it"
        )


def test_down_twice_and_status_of_nothing(dynamo: Dynamo) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    assert dynamo.run("down").code == 0
    for command in ("down", "status"):
        result = dynamo.run(command)
        assert result.code == 3 and complaint(result).startswith("dynamo: no deployment is running")
    assert dynamo.run("down", "echo").code == 3
    assert dynamo.run("down", "--all").code == 0


def test_several_deployments_must_be_named(dynamo: Dynamo) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    assert dynamo.run("up", "-d", ECHO, *PORT_0, "--set", "name='other'").code == 0
    for command in ("status", "down", "logs"):
        result = dynamo.run(command)
        assert result.code == 2
        assert complaint(result) == "dynamo: several deployments are running, name one of: echo, other"
    assert dynamo.run("status", "other").code == 0
    assert dynamo.run("down", "--all").out.count("is down") == 2


def test_logs_of_an_unknown_service(dynamo: Dynamo) -> None:
    assert dynamo.run("logs").code == 3
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    result = dynamo.run("logs", "decode-O")
    assert result.code == 2
    assert complaint(result) == "dynamo: echo has no service decode-O; did you mean decode-0?"
