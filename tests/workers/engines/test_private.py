from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dynamo_cli.workers.engines.private import PrivateDirectory

HOLD = """
import sys, time
from dynamo_cli.workers.engines.private import PrivateDirectory
held = PrivateDirectory(sys.argv[1], "llama")
open(held.path + "/state", "w").write("KV")
print(held.path, flush=True)
time.sleep(1000)
"""
MANY = """
import os, sys
from dynamo_cli.workers.engines.private import PrivateDirectory
for _ in range(1000):
    made = PrivateDirectory(sys.argv[1], "llama")
    open(made.path + "/state", "w").close()
    made.remove()
"""


@contextmanager
def held_elsewhere(base: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    argv = [sys.executable, "-c", HOLD, str(base)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, Path(process.stdout.readline().rstrip("\n"))
        finally:
            process.kill()


@pytest.fixture
def base(clean_environment: Path) -> Path:
    """Short enough for a socket."""
    return clean_environment


def test_it_is_private_and_goes_with_all_that_is_in_it(base: Path) -> None:
    directory = PrivateDirectory(str(base), "llama")
    path = Path(directory.path)
    (path / "state").write_text("KV")
    assert path.parent == base and stat.S_IMODE(path.stat().st_mode) == 0o700
    directory.remove()
    directory.remove()
    assert not path.exists()


def test_a_socket_fits_however_long_the_wanted_path_is(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = base / ("x" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    directory = PrivateDirectory(str(deep), "llama")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory.path}/engine.sock")
    directory.remove()
    assert not os.path.exists(directory.path)


def test_what_a_killed_process_left_goes_with_the_next_one(base: Path) -> None:
    with held_elsewhere(base) as (process, left), held_elsewhere(base) as (_, living):
        process.kill()
        process.wait()
        assert (left / "state").exists()
        other = PrivateDirectory(str(base), "vllm")
        assert left.exists(), "it is another engine's"
        next_one = PrivateDirectory(str(base), "llama")
        assert not left.exists()
        assert (living / "state").read_text() == "KV"
        other.remove()
        next_one.remove()


def test_what_is_no_directory_of_ours_stays(base: Path) -> None:
    (base / "dyn-llama-file").write_text("mine")
    (base / "elsewhere").mkdir()
    (base / "dyn-llama-link").symlink_to(base / "elsewhere")
    PrivateDirectory(str(base), "llama").remove()
    assert (base / "dyn-llama-file").exists() and (base / "dyn-llama-link" / ".").is_dir()


def test_processes_that_begin_at_once_take_nothing_from_each_other(base: Path) -> None:
    argv = [sys.executable, "-c", MANY, str(base)]
    several = [subprocess.Popen(argv) for _ in range(4)]
    assert [process.wait(60) for process in several] == [0] * 4
    assert [path.name for path in base.iterdir()] == ["run"]
