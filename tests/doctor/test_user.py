from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo_cli.doctor.check import GIB, MIB
from dynamo_cli.doctor.guard import HOME_FIX
from dynamo_cli.doctor.places import Place, inspect, place_check
from dynamo_cli.doctor.user import home_check, sockets_check, user_check
from tests.doctor.judged import judge

HERE = Path("/somewhere")


@pytest.mark.parametrize(
    ("place", "status", "words"),
    [
        (Place(HERE, owner=7, free=50 * GIB), "ok", "/somewhere, 50.0 GiB free"),
        (Place(HERE, exists=False, owner=0, free=5 * GIB), "ok", "(not made yet), 5.0 GiB free"),
        (Place(HERE, owner=7, free=900 * MIB), "warn", "900 MiB free: the disk is nearly full"),
        (Place(HERE, owner=7, free=3 * MIB), "error", "3 MiB free: the disk is full -> make room, or set VAR"),
        (Place(HERE, owner=7, free=5 * GIB, inodes=0), "error", "the disk is full"),
        (Place(HERE, owner=7, free=5 * GIB, inodes=9), "ok", "free"),
        (Place(HERE, refusal="cannot be written: Read-only", free=9), "error", "Read-only -> set VAR to another place"),
        (Place(HERE, refusal="cannot be written: x", full=True), "error", "-> make room, or set VAR"),
        (Place(HERE, owner=8, free=5 * GIB), "warn", "belongs to"),
        (Place(HERE, owner=7, free=5 * GIB, mode=0o777), "warn", "(mode 0777) -> chmod go-w /somewhere"),
    ],
)
def test_places(place: Place, status: str, words: str) -> None:
    judge(place_check("state-directory", place, "VAR", me=7), status, words)


def test_a_shared_place_may_be_anybodys() -> None:
    shared = Place(HERE, owner=0, free=5 * GIB, mode=0o1777)
    judge(place_check("temporary-directory", shared, "TMPDIR", private=False, me=7), "ok")


def test_looking_at_a_place_leaves_nothing(tmp_path: Path) -> None:
    found = inspect(tmp_path)
    assert (found.exists, found.refusal, found.owner) == (True, "", os.getuid())
    assert found.free > 0
    deeper = inspect(tmp_path / "a" / "b")
    assert (deeper.exists, deeper.refusal) == (False, "")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_directory_should_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert inspect(file).refusal == "is not a directory"
    assert inspect(file / "below").refusal == f"cannot be made: {file} is not a directory"


def test_a_kernel_file_system_that_takes_no_files() -> None:
    found = inspect(Path("/proc/dynamo"))
    assert found.refusal.startswith("cannot be written: ") and found.refusal.endswith(" (in /proc)")


def test_a_file_size_limit_is_a_refusal(tmp_path: Path) -> None:
    # Stands in for a full disk: the write itself fails, not the opening.
    code = (
        "import sys, pathlib; from dynamo_cli.doctor.places import inspect; print(inspect(pathlib.Path(sys.argv[1])))"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=limit)
    assert "cannot be written: File too large" in done.stdout


def test_users_and_homes() -> None:
    judge(user_check(0, "root"), "ok", "root (uid 0)")
    judge(user_check(12345, ""), "warn", "uid 12345 has no name", HOME_FIX)
    judge(home_check("/somewhere", Place(HERE)), "ok", "/somewhere")
    judge(home_check("", Place(HERE, exists=False)), "warn", "/somewhere (HOME is not set) does not exist", HOME_FIX)
    judge(home_check("/somewhere", Place(HERE, refusal="cannot be written: no")), "warn", "cannot be written: no")
    judge(home_check("", None), "warn", HOME_FIX)


def test_sockets_elsewhere_than_asked() -> None:
    tmp = Place(Path("/tmp"), free=5 * GIB)
    judge(sockets_check({}, tmp), "ok", "/tmp")
    judge(sockets_check({"XDG_RUNTIME_DIR": "/tmp"}, tmp), "ok", "/tmp")
    judge(sockets_check({"XDG_RUNTIME_DIR": "/run/none"}, tmp), "warn", "it is no directory")
    judge(sockets_check({"XDG_RUNTIME_DIR": "/" + "x" * 99}, tmp), "warn", "too long for sockets (100 bytes)")
    judge(sockets_check({}, Place(Path("/tmp"), refusal="cannot be written: no")), "error", "set XDG_RUNTIME_DIR")
