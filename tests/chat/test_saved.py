from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dynamo_cli.chat.conversation import Conversation, Message
from dynamo_cli.chat.saved import MARK, load, save
from dynamo_cli.errors import ResourceMissing, UsageError

MESSAGES = [
    Message("system", "be kind"),
    Message("user", "hé"),
    Message("assistant", "hello", reasoning="hm", stopped=True),
]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    save(file, "org/m", MESSAGES)
    saved = load(file)
    assert (saved.model, saved.messages) == ("org/m", MESSAGES)
    assert file.stat().st_mode & 0o777 == 0o600
    conversation = Conversation()
    conversation.replace(saved.messages)
    assert conversation.messages == MESSAGES
    assert conversation.asking("and?")[2:] == [
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "and?"},
    ]
    save(file, "org/m", MESSAGES[:1])
    assert load(file).messages == MESSAGES[:1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["chat.json"]


def test_an_empty_system_message_is_none() -> None:
    conversation = Conversation()
    conversation.replace([Message("system", ""), *MESSAGES[1:]])
    assert conversation.messages == MESSAGES[1:]


@pytest.mark.parametrize("content", ["notes", "{}", '{"model": "x", "messages": []}'])
def test_other_files_are_not_overwritten(tmp_path: Path, content: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_text(content)
    with pytest.raises(UsageError, match="is there already and is no saved chat; choose another name"):
        save(file, "m", MESSAGES)
    assert file.read_text() == content


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ResourceMissing, match=r"cannot write .*No such file"):
        save(tmp_path / "no" / "chat.json", "m", MESSAGES)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    file, link = tmp_path / "chat.json", tmp_path / "link"
    save(file, "m", [])
    link.symlink_to(file)
    save(link, "m", MESSAGES)
    assert link.is_symlink() and load(file).messages == MESSAGES


def chat(*messages: dict[str, object], **fields: object) -> str:
    return json.dumps({"object": MARK, "model": "m", "messages": messages, **fields})


USER, ASSISTANT, SYSTEM = ({"role": role, "content": "x"} for role in ("user", "assistant", "system"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not valid JSON: "),
        (b"\xff\xfe", "is not valid JSON: "),
        ("[]", "is no saved chat: expected object, got array"),
        ('{"messages": []}', "is no saved chat: object missing required field object"),
        (chat(object="list"), 'is no saved chat: object is "list", expected "dynamo.chat"'),
        (chat({"role": "tool", "content": "x"}), "is no saved chat: messages[0].role: invalid enum value 'tool'"),
        (chat({"role": "user", "content": 3}), "is no saved chat: messages[0].content: expected str, got int"),
        (chat(ASSISTANT), "messages[0].role: expected user, found assistant"),
        (chat(SYSTEM, USER, USER), "messages[2].role: expected assistant, found user"),
        (chat(USER, ASSISTANT, SYSTEM), "messages[2].role: expected user, found system"),
        (chat(USER, ASSISTANT, USER), "messages[2]: is a question without an answer"),
    ],
)
def test_a_wrong_file_is_told_in_a_line(tmp_path: Path, content: str | bytes, problem: str) -> None:
    file = tmp_path / "chat.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as error:
        load(file)
    told = str(error.value).replace("[...]", "[0]")  # an older msgspec does not number them
    assert told.startswith(f"{file}: {problem}")
    assert "\n" not in str(error.value)


def test_no_file_and_no_regular_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing: no such file"):
        load(tmp_path / "nothing")
    with pytest.raises(UsageError, match="is not a file"):
        load(tmp_path)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(UsageError, match="is not a file"):
        load(fifo)
