"""A conversation as a file: JSON with the model's name and the messages."""

from __future__ import annotations

import contextlib
import os
from itertools import cycle
from pathlib import Path

import msgspec

from dynamo_cli.chat.conversation import Message
from dynamo_cli.errors import ResourceMissing, UsageError

MARK = "dynamo.chat"


class SavedChat(msgspec.Struct, kw_only=True):
    """`object` tells it from other JSON files."""

    object: str
    model: str
    messages: list[Message]


def save(path: Path, model: str, messages: list[Message]) -> None:
    """Write the file for this user alone, whole or not at all.

    Raises UsageError rather than overwrite what is no saved chat, ResourceMissing when the disk refuses.
    """
    path = _at_home(path)
    if os.path.exists(path) and not _is_saved_chat(path):
        raise UsageError(f"{path} is there already and is no saved chat; choose another name")
    path = path.resolve()
    text = msgspec.json.format(msgspec.json.encode(SavedChat(object=MARK, model=model, messages=messages)), indent=2)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(text + b"\n")
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise ResourceMissing(f"cannot write {path}: {error.strerror}") from None


def load(path: Path) -> SavedChat:
    """Raises UsageError that says what is wrong with the file."""
    path = _at_home(path)
    try:
        if not path.is_file():
            raise UsageError(f"{path}: is not a file" if path.exists() else f"{path}: no such file")
        saved = msgspec.json.decode(path.read_bytes(), type=SavedChat)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: is no saved chat: {_in_words(str(error))}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not valid JSON: {error}") from None
    if saved.object != MARK:
        raise UsageError(f'{path}: is no saved chat: object is "{saved.object}", expected "{MARK}"')
    _check_order(path, saved.messages)
    return saved


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise UsageError(f"{path}: the home directory it begins with is not known") from None


def _check_order(path: Path, messages: list[Message]) -> None:
    first = 1 if messages and messages[0].role == "system" else 0
    for index, (message, role) in enumerate(zip(messages[first:], cycle(("user", "assistant"))), first):
        if message.role != role:
            raise UsageError(f"{path}: messages[{index}].role: expected {role}, found {message.role}")
    if (len(messages) - first) % 2:
        raise UsageError(f"{path}: messages[{len(messages) - 1}]: is a question without an answer")


def _is_saved_chat(path: Path) -> bool:
    try:
        load(path)
    except UsageError:
        return False
    return True


def _in_words(problem: str) -> str:
    """msgspec's "Expected X, got Y - at `$.a.b`" as "a.b: expected X, got Y"."""
    what, _, place = problem.partition(" - at `$")
    what = what[:1].lower() + what[1:].replace("`", "")
    place = place.strip("`.")
    return f"{place}: {what}" if place else what
