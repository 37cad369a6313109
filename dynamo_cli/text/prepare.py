"""Lays out what frontends need to know of a model's text: a directory that is named by its content."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.paths import cache_dir, disk_errors
from dynamo_cli.hub.resolve import ModelFiles
from dynamo_cli.text.facts import FACTS, TEMPLATE, TOKENIZER
from dynamo_cli.text.made import Note

if TYPE_CHECKING:
    from dynamo_cli.text.sources import TextSource


def prepare_bundle(files: ModelFiles, template: str | None = None) -> Path | None:
    """Write the bundle of a model into the cache, unless it is there; None when only the engine can tokenize.

    `template` is used in place of the model's own. Raises ModelMissing for unusable files, an invalid template
    among them, ResourceMissing when the cache cannot be written.
    """
    shelf = cache_dir() / "text"
    if files.kind != "gguf" or template is not None:
        return _make(files, shelf, template)
    note = Note(cache_dir() / "text-of-gguf", files.path)
    known = note.read()
    if known and (shelf / known).is_dir():
        return shelf / known
    made = _make(files, shelf, None)
    if made is not None:
        note.write(made.name)
    return made


def _make(files: ModelFiles, shelf: Path, template: str | None) -> Path | None:
    from dynamo_cli.text.sources import read_source  # most starts need none of it

    source = read_source(files)
    if source is None:
        return None
    source = source if template is None else dataclasses.replace(source, template=template)
    contents = _contents(source)
    target = shelf / _digest(contents)
    if target.is_dir():
        return target
    if source.template is not None:
        _check_template(files, source.template)
    with disk_errors(shelf):
        shelf.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".tmp-", dir=shelf))
        try:
            for name, content in contents.items():
                (scratch / name).write_bytes(content)
            _rename_if_first(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def _check_template(files: ModelFiles, template: str) -> None:
    """Else every frontend would refuse the model, while its workers look as if all were well."""
    from dynamo_cli.text.template import ChatTemplate

    try:
        ChatTemplate(template)
    except ModelMissing as error:
        reason = str(error).rstrip(".")
        raise ModelMissing(f"{files.path}: {reason}; --custom-jinja-template FILE takes the place of it") from error


def _contents(source: TextSource) -> dict[str, bytes]:
    contents = {TOKENIZER: source.tokenizer, FACTS: msgspec.json.encode(source.facts)}
    if source.template is not None:
        contents[TEMPLATE] = source.template.encode("utf-8", "replace")
    return contents


def _digest(contents: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(contents):
        digest.update(f"{name} {len(contents[name])}\n".encode())
        digest.update(contents[name])
    return digest.hexdigest()[:32]


def _rename_if_first(scratch: Path, target: Path) -> None:
    scratch.chmod(0o755)
    try:
        os.rename(scratch, target)
    except OSError:
        if not target.is_dir():  # else another process was faster, with the same content
            raise
