"""Every file in topologies/ starts, answers and stops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from dynamo_cli.gpus.asking import read_gpus
from dynamo_cli.supervisor.processes import entry
from tests.integration.dynamo import TOPOLOGIES, Dynamo, ask
from tests.supervisor.harness import marked, until
from tests.workers.engines.cases import CASES, NAMED, real

pytestmark = pytest.mark.slow
UP_S = 400 if NAMED else 120
BIG = {case.name for case in CASES if case.optional}


def files() -> Iterator[ParameterSet]:
    for file in sorted(TOPOLOGIES.glob("*.toml")):
        text = re.sub(" +", " ", file.read_text())
        named = [engine for engine in BIG if f'engine = "{engine}"' in text]
        marks = [mark for engine in named for mark in real(engine)]
        if re.search(r"gpus = \[", text):
            marks.append(pytest.mark.skipif(not read_gpus().gpus, reason="it lists a GPU, and there is none"))
        yield pytest.param(file, id="-".join([file.stem, *named]), marks=marks)


@pytest.mark.parametrize("file", list(files()))
def test_it_starts_answers_and_stops(
    dynamo: Dynamo, clean_environment: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setenv("DYN_LLAMACPP_THREADS", "1")
    monkeypatch.setenv("LORA_PORT", "0")
    started = dynamo.run("up", "-d", str(file), "--set", "frontend.port=0", "--timeout", str(UP_S), timeout_s=UP_S + 20)
    assert started.code == 0, started.err
    status = dynamo.status()
    for model in status["models"]:
        assert ask(status["url"], model).json()["choices"][0]["message"]["content"]
    services = status["services"]
    names = [service["name"] for service in services]
    assert "frontend-0" in names and any(service["kind"] == "worker" for service in services)
    replicas = [service for service in services if service["kind"] != "service"]
    assert all(service["name"] == f"{service['pool']}-{service['replica']}" for service in replicas)
    running = until(lambda: running_pids(dynamo), 10, "tasks to end")
    assert running and all(entry(pid) for pid in running) and len(set(running)) == len(running)
    assert dynamo.run("down").code == 0
    assert not marked(clean_environment)


def running_pids(dynamo: Dynamo) -> list[int] | None:
    """Of all that has not ended as it may; None while some of it is just ending."""
    pids = [service["pid"] for service in dynamo.status()["services"] if not service["done"]]
    return None if None in pids else pids
