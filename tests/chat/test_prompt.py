"""What is typed becomes messages, is remembered, and completed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.chat.prompt import history
from dynamo_cli.chat.prompt.completion import complete, files
from dynamo_cli.chat.prompt.history import History
from dynamo_cli.chat.prompt.message import MORE, PROMPT, read_message


def typing(*lines: str) -> tuple[Callable[[str], str], list[str]]:
    left, prompts = list(lines), []

    def read(prompt: str) -> str:
        prompts.append(prompt)
        if not left:
            raise EOFError
        return left.pop(0)

    return read, prompts


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["hello "], "hello"),
        (["one \\", "two\\", "", "next"], "one \ntwo"),
        (['"""one', "", '  two"""', "next"], "one\n\n  two"),
        (['"""', "/reset", '"""', "next"], "/reset"),
        (['"""all in one""" ', "next"], "all in one"),
        (["pasted\nas it is\\\nwas", "next"], "pasted\nas it is\\\nwas"),
        (['say """ to me', "next"], 'say """ to me'),
        ([""], ""),
    ],
)
def test_lines_become_a_message(lines: list[str], message: str) -> None:
    read, prompts = typing(*lines)
    assert read_message(read) == message
    taken = len(lines) - lines.count("next")
    assert prompts == [PROMPT, *[MORE] * (taken - 1)]


def test_the_end_of_input_within_a_message() -> None:
    with pytest.raises(EOFError):
        read_message(typing("one\\")[0])


def test_history_survives_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "state" / "chat_history"
    first = History(file)
    assert first.load() == []
    first.add("one\ntwo ☂")
    first.add("/help")
    assert History(file).load() == ["one\ntwo ☂", "/help"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_history_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "chat_history"
    file.write_text("".join(json.dumps(f"m{number}") + "\n" for number in range(2 * history.KEPT + 1)))
    kept = History(file).load()
    assert (len(kept), kept[-1]) == (history.KEPT, f"m{2 * history.KEPT}")
    assert len(file.read_bytes().splitlines()) == history.KEPT
    assert file.stat().st_mode & 0o777 == 0o600
    History(file).add("x" * (history.LONGEST + 1))
    assert len(file.read_bytes().splitlines()) == history.KEPT


@given(st.binary(max_size=200))
def test_any_history_file_is_read(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "chat_history"
        file.write_bytes(content)
        assert all(isinstance(message, str) for message in History(file).load())


def test_a_home_that_cannot_be_written_is_no_reason_not_to_chat(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "chat_history", tmp_path):
        nowhere = History(path)
        nowhere.add("hello")
        assert nowhere.load() == []
    secret = tmp_path / "secret"
    secret.write_text("")
    (tmp_path / "link").symlink_to(secret)
    History(tmp_path / "link").add("hello")
    assert secret.read_text() == "", "a planted link is not followed"


COMMANDS = {"/reset": None, "/retry": lambda _: [], "/model": lambda _: ["org/a", "org/b", "x"], "/save": files}


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("/re", ["/reset", "/retry "]),
        ("/", ["/model ", "/reset", "/retry ", "/save "]),
        ("/model ", ["org/a", "org/b", "x"]),
        ("/model or", ["org/a", "org/b"]),
        ("/model org/a ", []),
        ("/reset x", []),
        ("/nope x", []),
        ("hello /re", []),
        ("", []),
    ],
)
def test_what_tab_offers(line: str, candidates: list[str]) -> None:
    assert complete(line, COMMANDS) == candidates


def test_files_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "inner.json").write_text("")
    (tmp_path / "data.json").write_text("")
    (tmp_path / ".hidden").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert complete("/save d", COMMANDS) == ["data.json", "dir/"]
    assert complete("/save ", COMMANDS) == ["data.json", "dir/"]
    assert complete("/save .h", COMMANDS) == [".hidden"]
    assert complete("/save dir/", COMMANDS) == ["dir/inner.json"]
    assert complete("/save ~/da", COMMANDS) == ["~/data.json"]
    assert complete("/save nowhere/", COMMANDS) == []
    assert complete(f"/save {tmp_path}/da", COMMANDS) == [f"{tmp_path}/data.json"]
