"""Every test gets a clean environment and a home of its own; no process may outlive the session."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from tests.certificates import Certificates, make_certificates

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # on a busy machine an example takes as long as it takes
_test_numbers = count()


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # xdist ignores it, and so would what tests start
    config.addinivalue_line("markers", "slow: starts real processes or a real model; runs after everything else")
    config.addinivalue_line("markers", "alone: measures time; `make test` runs it with no other test beside it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "integration" in item.path.parts or item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def session_home() -> Iterator[Path]:
    """A short directory: unix socket paths end at 107 bytes. Leftover processes of the session fail it."""
    root = Path(tempfile.mkdtemp(prefix="dyn-"))
    yield root
    leftovers = _wait_until_gone(str(root), timeout_s=10.0)
    described = [_described(process) for process in leftovers]
    for process in leftovers:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    shutil.rmtree(root, ignore_errors=True)
    assert not described, f"processes outlived the tests: {described}"


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("pem"))


@pytest.fixture(autouse=True)
def clean_environment(session_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No DYN_* or DYNAMO_* of the caller, nor make's own; DYNAMO_HOME and XDG_RUNTIME_DIR are this test's own."""
    for name in list(os.environ):
        if name.startswith(("DYN_", "DYNAMO_")) or name in ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL"):
            monkeypatch.delenv(name)
    home = session_home / str(next(_test_numbers))
    runtime = home / "run"
    runtime.mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("DYNAMO_HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    return home


def _wait_until_gone(home: str, timeout_s: float) -> list[psutil.Process]:
    deadline = time.monotonic() + timeout_s
    while (alive := _processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def _processes_of(home: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter() if p.pid != os.getpid() and _home_of(p).startswith(home)]


def _described(process: psutil.Process) -> str:
    """Its home has the number of its test."""
    try:
        return f"{process.pid} {process.cmdline()} of {_home_of(process)}, {process.create_time() - time.time():.1f} s"
    except psutil.Error:
        return f"{process.pid}, which has ended now"


def _home_of(process: psutil.Process) -> str:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return process.environ().get("DYNAMO_HOME", "")
    except (psutil.Error, OSError):
        return ""
