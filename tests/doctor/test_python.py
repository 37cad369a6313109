from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dynamo_cli.doctor import packages
from dynamo_cli.doctor.machine import Asked, Machine
from dynamo_cli.doctor.packages import (
    Package,
    import_check,
    import_failures,
    installed,
    packages_checks,
    packages_import_check,
    read_packages,
)
from dynamo_cli.doctor.python import (
    Environment,
    Installed,
    compiler_check,
    dynamo_check,
    environment_check,
    headers_check,
    numa_check,
    python_check,
    read_environment,
    read_installed,
)
from tests.doctor.judged import judge

HTTPX, OLD = Package("httpx", ">=0.27", "0.28.1"), Package("rich", ">=13.7", "12.0", fits=False)
MISSING = Package("psutil", ">=5.9", "", fits=False)


@pytest.mark.parametrize(
    ("version", "status", "words"),
    [
        ((3, 9), "error", "too old -> install Python 3.10 to 3.13"),
        ((3, 10), "ok", "/bin/python"),
        ((3, 13), "ok", "/bin/python"),
        ((3, 14), "warn", "newer than what was tested"),
    ],
)
def test_versions_of_python(version: tuple[int, int], status: str, words: str) -> None:
    judge(python_check(version, "3.x", "/bin/python"), status, words)


def test_environments() -> None:
    judge(environment_check(Environment("/v", True)), "ok", "/v (a virtual environment)")
    judge(environment_check(Environment("/usr", False)), "ok", "/usr (no virtual environment)")
    judge(environment_check(Environment("/v", True, "/v/")), "ok")
    judge(environment_check(Environment("/v", True, "/w")), "warn", "the active one is /w -> source /v/bin/activate")
    assert read_environment(Machine(Asked(), {"VIRTUAL_ENV": "/w"})) == Environment(
        sys.prefix, sys.prefix != sys.base_prefix, "/w"
    )


def test_which_dynamo_a_shell_starts(tmp_path: Path) -> None:
    judge(dynamo_check(Installed("1", "/v/dynamo_cli", "", "")), "ok", "1 in /v/dynamo_cli")
    judge(dynamo_check(Installed("1", "/v/dynamo_cli", "/v/bin/dynamo", "/v/bin/dynamo")), "ok")
    judge(dynamo_check(Installed("1", "/v/dynamo_cli", "/usr/bin/dynamo", "/v/bin/dynamo")), "warn", "/usr/bin/dynamo")
    other = tmp_path / "dynamo"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert read_installed(Machine(Asked(), {"PATH": str(tmp_path)})).on_path == str(other)


def test_packages() -> None:
    good, old, missing = packages_checks([HTTPX, OLD, MISSING])
    judge(good, "ok", "1 of 3 required packages: httpx 0.28.1")
    judge(old, "error", "12.0 is installed, >=13.7 is required -> pip install")
    judge(missing, "error", "is not installed")
    assert [check.name for check in (good, old, missing)] == ["packages", "package-rich", "package-psutil"]
    (unknown,) = packages_checks(None)
    judge(unknown, "warn", "dynamo-cli itself is not installed")


def test_what_is_really_required_here() -> None:
    found = {each.name: each for each in read_packages() or ()}
    assert found["httpx"].found == installed("httpx") != ""
    assert all(each.fits for each in found.values())
    assert "pytest" not in found, "an extra is not required"
    assert ("tomli" in found) == (sys.version_info < (3, 11))


def test_imports_that_fail_are_named_with_their_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_one.py").write_text("raise ImportError('first line\\nlibcudart.so.12: cannot open')")
    (tmp_path / "quitter.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "talker.py").write_text("import os; print('hello', flush=True); os.system('echo from below')")
    assert import_failures(["json", "talker"]) == []
    assert import_failures(["json", "broken_one"]) == ["broken_one: libcudart.so.12: cannot open"]
    assert import_failures(["json", "broken_one", "quitter"]) == [
        "broken_one: libcudart.so.12: cannot open",
        "the process that imported ended with signal 6",
    ]


def test_an_import_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sleeper.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(packages, "IMPORT_S", 0.5)
    assert import_failures(["sleeper"]) is None
    judge(import_check("imports", ["sleeper"], None), "error", "1 module took longer than 0.5 s")


def test_import_checks() -> None:
    judge(import_check("imports", ["a", "b"], []), "ok", "2 modules imported")
    judge(import_check("imports", ["a", "b"], ["a: no"]), "error", "a: no")
    judge(packages_import_check([HTTPX], thorough=False), "skipped", "--thorough")
    judge(packages_import_check([HTTPX, MISSING], thorough=True), "ok", "1 module imported")


def test_what_compiling_needs() -> None:
    judge(headers_check("/usr/include/Python.h", []), "ok")
    judge(headers_check("", []), "skipped", "only GPU engines")
    judge(headers_check("", ["vllm"]), "warn", "vllm compile kernels", f"apt install python3.{sys.version_info[1]}-dev")
    judge(compiler_check("/usr/bin/cc", ["vllm"]), "ok")
    judge(compiler_check("", []), "skipped")
    judge(compiler_check("", ["GPU engines"]), "warn", "sudo apt install build-essential")
    judge(numa_check(True, True), "ok")
    judge(numa_check(False, False), "skipped")
    judge(numa_check(False, True), "warn", "sudo apt install libnuma1")
