"""Changing a deployment while clients use it: no request fails, no stream is cut, and what need not change stays."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.dynamo import Dynamo, Result
from tests.integration.steady import Served, serve_while
from tests.supervisor.harness import gone

pytestmark = pytest.mark.slow

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
MOCK = f"""
name  = "rolling"
model = "{MODEL}"
[frontend]
port     = 0
replicas = 2
[workers.decode]
engine   = "mock"
replicas = 2
[workers.decode.options]
speedup_ratio = 1.0
[workers.other]
engine = "echo"
model  = "other"
[services.side]
command = "sleep 1000"
"""
BODY: dict[str, Any] = {"model": MODEL, "prompt": list(range(100, 140)), "max_tokens": 60}


class Deployed:
    def __init__(self, dynamo: Dynamo) -> None:
        self.dynamo = dynamo
        self.file = dynamo.write(MOCK)
        started = dynamo.run("up", "-d", self.file)
        assert started.code == 0, started
        self.url: str = dynamo.status()["url"]

    def pids(self) -> dict[str, int]:
        return {service["name"]: service["pid"] for service in self.dynamo.status()["services"]}

    def edit(self, before: str, after: str) -> str:
        text = Path(self.file).read_text()
        assert before in text
        Path(self.file).write_text(text.replace(before, after))
        return self.file

    def under_load(self, *commands: tuple[str, ...]) -> list[str]:
        """The outputs of commands that all go well while every stream does."""
        results: list[Result] = []

        def work() -> None:
            results.extend(self.dynamo.run(*command, timeout_s=120.0) for command in commands)

        served = serve_while(work, self.url, BODY)
        assert [result.code for result in results] == [0] * len(commands), results
        assert_all_whole(served)
        return [result.out for result in results]


@contextmanager
def kept_alive(url: str) -> Iterator[list[int]]:
    """A client that asks again and again on one connection, as long as the server keeps it; the statuses it gets."""
    codes: list[int] = []
    over = threading.Event()
    address = urlsplit(url)
    assert address.hostname

    def ask_on() -> None:
        connection = HTTPConnection(address.hostname or "", address.port, timeout=20)
        while not over.wait(0.05):
            connection.request("POST", "/v1/completions", json.dumps({**BODY, "max_tokens": 2}))
            response = connection.getresponse()
            response.read()
            codes.append(response.status)
        connection.close()

    with ThreadPoolExecutor() as threads:
        asking = threads.submit(ask_on)
        try:
            yield codes
        finally:
            over.set()
        asking.result()


def assert_all_whole(served: Served) -> None:
    print(f"{served.whole} streams, {len(served.failures)} failed or cut")
    assert served.failures == []
    assert served.whole >= 16


@pytest.fixture(scope="module")
def deployed(session_home: Path) -> Iterator[Deployed]:
    home = session_home / "rolling"
    (home / "run").mkdir(parents=True, mode=0o700)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DYN_", "DYNAMO_"))}
    environ |= {"DYNAMO_HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    deployed = Deployed(Dynamo(home, environ))
    yield deployed
    assert deployed.dynamo.run("down").code == 0
    gone(home, 3.0)


def test_scale_up_and_down_again(deployed: Deployed) -> None:
    before = deployed.pids()
    deployed.under_load(*(("scale", f"decode={count}") for count in (1, 8, 1, 2)))
    after = deployed.pids()
    del before["decode-1"], after["decode-1"]
    assert after == before


def test_workers_are_replaced_one_by_one(deployed: Deployed) -> None:
    before = deployed.pids()
    (told,) = deployed.under_load(("restart", "decode"))
    after = deployed.pids()
    assert told.splitlines() == [
        f"decode-0.b is READY (pid {after['decode-0.b']}), in place of decode-0",
        f"decode-1.b is READY (pid {after['decode-1.b']}), in place of decode-1",
    ]
    stay = before.keys() & after.keys()
    assert stay == {"frontend-0", "frontend-1", "other-0", "side"}
    assert {name: after[name] for name in stay} == {name: before[name] for name in stay}
    deployed.under_load(("restart", "decode-0"), ("restart", "decode-1", "--now"))
    assert {"decode-0", "decode-1.b"} < deployed.pids().keys()
    assert deployed.dynamo.status()["state"] == "READY"


def test_frontends_are_replaced_one_by_one(deployed: Deployed) -> None:
    before = deployed.pids()
    with kept_alive(deployed.url) as codes:
        deployed.under_load(("restart", "frontend"))
    assert set(codes) == {200} and len(codes) > 16
    after = deployed.pids()
    assert {"frontend-0.b", "frontend-1.b"} < after.keys()
    assert {name: after[name] for name in before.keys() & after.keys()} == {
        name: before[name] for name in before.keys() & after.keys()
    }


def test_an_edited_pool_is_applied(deployed: Deployed) -> None:
    before = deployed.pids()
    file = deployed.edit("speedup_ratio = 1.0", "speedup_ratio = 1.0\nblock_size = 32")
    dry = deployed.dynamo.run("apply", file, "--dry-run")
    assert dry.code == 0 and dry.out.startswith("~ decode: decode-0, decode-1.b\n    command: "), dry
    assert deployed.pids() == before
    (told,) = deployed.under_load(("apply", file))
    after = deployed.pids()
    assert told.startswith(dry.out)
    assert {"decode-0.b", "decode-1"} < after.keys()
    stay = before.keys() & after.keys()
    assert len(stay) == 4 and {name: after[name] for name in stay} == {name: before[name] for name in stay}
    status = json.loads(deployed.dynamo.run("status", "--router", "--json").out)
    assert {worker["worker"] for worker in status["workers"]} >= {"decode-0.b", "decode-1"}
    assert deployed.dynamo.run("apply", file).out == "6 processes stay as they are\n"


def test_pools_come_and_go_and_replicas_follow_the_file(deployed: Deployed) -> None:
    file = deployed.edit(
        '[workers.other]\nengine = "echo"\nmodel  = "other"', '[workers.more]\nengine = "echo"\nmodel = "more"'
    )
    deployed.edit("[workers.decode]\n", "[workers.decode]\nstop_timeout_s = 10.0\n")
    deployed.edit("replicas = 2\n[workers.decode.options]", "replicas = 1\n[workers.decode.options]")
    deployed.edit("block_size = 32", "block_size = 64")
    (told,) = deployed.under_load(("apply", file))
    lines = told.splitlines()
    assert "+ more: new, more-0" in lines and "- other: all of it, other-0" in lines
    assert "- decode: decode-1" in lines
    status = deployed.dynamo.status()
    assert status["models"] == [MODEL, "more"] and status["state"] == "READY"


def test_what_does_not_get_ready_changes_nothing(deployed: Deployed) -> None:
    before = deployed.pids()
    file = deployed.edit('engine   = "mock"', 'engine   = "mock"\nmodel = "/nowhere/at/all"')
    failed = deployed.dynamo.run("apply", file)
    deployed.edit('\nmodel = "/nowhere/at/all"', "")
    assert failed.code == 5 and deployed.pids() == before, failed
    file = deployed.edit('engine   = "mock"', 'engine   = "mock"\nargs = ["--no-such-flag"]')
    results: list[Result] = []
    assert_all_whole(serve_while(lambda: results.append(deployed.dynamo.run("apply", file)), deployed.url, BODY))
    assert results[0].code == 1 and "did not get ready" in results[0].err and "stays" in results[0].err, results
    assert deployed.pids() == before
    deployed.edit('\nargs = ["--no-such-flag"]', "")
    refused = deployed.dynamo.run("apply", deployed.edit("port     = 0", "port     = 8123"))
    deployed.edit("port     = 8123", "port     = 0")
    assert refused.code == 2 and "frontend.port is 0 in what runs and 8123 here" in refused.err
    assert deployed.dynamo.run("apply", deployed.file).out.endswith("processes stay as they are\n")
