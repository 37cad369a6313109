"""Following the log file of a process that starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_cli.logs.files import log_file
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.phases.tracker import Stage
from dynamo_cli.supervisor.phases.watch import Loads
from tests.supervisor.plans import worker

SPEC = worker(engine="vllm")


@pytest.fixture
def paths(clean_environment: Path) -> DeploymentPaths:
    paths = DeploymentPaths("test")
    paths.ensure()
    return paths


@pytest.fixture
def loads(paths: DeploymentPaths) -> Iterator[Loads]:
    loads = Loads(paths)
    yield loads
    loads.ended(SPEC.name)


def write(paths: DeploymentPaths, text: str) -> None:
    with log_file(paths, SPEC.name).open("a") as file:
        file.write(text)


def test_only_this_incarnation_counts_and_only_while_it_starts(paths: DeploymentPaths, loads: Loads) -> None:
    write(paths, "Capturing CUDA graphs: 50%|#  | 1/2 [00:01<\n")
    loads.begins(SPEC, log_file(paths, SPEC.name).stat().st_size)
    assert loads.look(SPEC.name, "").phase == ""
    write(paths, "2026-01-31T14:30:00.000Z Starting to load model m...\n")
    assert loads.look(SPEC.name, "").words == "weights"
    loads.ended(SPEC.name)
    write(paths, "Capturing CUDA graphs: 50%|#  | 1/2 [00:01<\n")
    assert loads.look(SPEC.name, "load") == Stage()


def test_a_line_that_is_still_being_written_counts(paths: DeploymentPaths, loads: Loads) -> None:
    loads.begins(SPEC, 0)
    for done in range(1, 4):
        write(paths, f"\rCapturing CUDA graphs: {done * 10:3}%|#   | {done}/10 [00:01<00:09]")
        assert loads.look(SPEC.name, "").words == f"graph capture {done}/10"


def test_a_bar_of_any_length_is_followed(paths: DeploymentPaths, loads: Loads) -> None:
    loads.begins(SPEC, 0)
    for done in range(1, 500):
        write(paths, f"\rCapturing CUDA graphs: {done // 5:3}%|{'#' * 40}| {done}/500 [00:01<00:09]")
        stage = loads.look(SPEC.name, "")
    assert stage.progress and stage.progress.done > 480
    write(paths, "\nGraph capturing finished in 6 secs\n")
    assert loads.look(SPEC.name, "").words == "warm-up"


def test_a_flood_is_read_bit_by_bit(paths: DeploymentPaths, loads: Loads) -> None:
    loads.begins(SPEC, 0)
    write(paths, "a line that tells nothing of how far it is\n" * 10_000 + "Starting to load model m...\n")
    looks = 1
    while loads.look(SPEC.name, "").phase != "weights":
        looks += 1
        assert looks < 10
    assert looks > 1
