"""The page on the terminal UI has every picture and every key, and pictures can be taken."""

from __future__ import annotations

from pathlib import Path

from dynamo_cli.tui.keys import KEYS
from dynamo_cli.tui.look import MARKS
from tests.tui.pictures import PICTURES, REAL, TAKEN, take

PAGE = (PICTURES.parent / "tui.md").read_text()
README = (PICTURES.parents[1] / "README.md").read_text()


def test_every_picture_is_there_and_on_the_page() -> None:
    assert {file.stem for file in PICTURES.glob("*.svg")} == {*TAKEN, REAL}
    assert f"(docs/pictures/{REAL}.svg)" in README
    assert all(f"(pictures/{name}.svg)" in PAGE for name in TAKEN)


def test_every_key_and_symbol_is_on_the_page() -> None:
    other_names = {"^p :": "Ctrl-P", "^z": "Ctrl-Z", "^c": "Ctrl-C", "esc": "Esc"}
    shown = [key.key_display or key.key for key in KEYS]
    assert all(f"`{other_names.get(key, key)}`" in PAGE for key in shown)
    assert all(f"{mark.symbol}" in PAGE for mark in MARKS.values())


async def test_a_picture_is_taken(tmp_path: Path) -> None:
    await take(TAKEN["small"], tmp_path / "small.svg")
    drawn = (tmp_path / "small.svg").read_text().replace("&#160;", " ")
    assert "READY" in drawn
    assert "dynamo up chat.toml" in drawn
