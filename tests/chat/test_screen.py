"""However an answer is cut and whatever the screen's size, the same stands there in the end."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dynamo_cli.chat.screen.blocks import split
from dynamo_cli.chat.screen.display import PlainDisplay, open_display, printable
from dynamo_cli.chat.screen.live import LiveLines
from dynamo_cli.chat.screen.rendered import RenderedDisplay
from dynamo_cli.chat.thinking import Piece
from tests.chat.emulator import Emulator

PARTS = [
    "# Title\n\n",
    "A paragraph with **bold** and `code` that is long enough to be wrapped at any width.\n\n",
    "para\n*** not a rule ***\n",
    "1. one\n2. two\n   - nested `x`\n\n3. three\n\n",
    "- a\n- b\n",
    "```python\nfor i in range(3):\n\n    print(i)\n```\n",
    "```\nnever closed\n",
    "| a | b |\n|---|--:|\n| 1 | 2 |\n\n",
    "> quoted\nlazily\n\n",
    "<div>html</div>\n\n",
    "日本語のテキスト and List<int>\n",
    "---\n",
    "\n\n",
    "end",
]
ANSWERS = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)


@pytest.fixture(autouse=True)
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")


def cut(text: str, cuts: list[int]) -> list[str]:
    pieces = []
    for length in cuts:
        pieces.append(text[:length])
        text = text[length:]
    return [*pieces, text]


def shown(pieces: list[str], columns: int, rows: int, always: bool = True) -> str:
    """What stands on the screen and above it; `always`: drawn after every piece, not only now and then."""
    screen = Emulator(columns, rows)
    display = RenderedDisplay(screen, lambda: os.terminal_size((columns, rows)))  # type: ignore[arg-type]
    for piece in pieces:
        if always:
            display._next_s = 0.0
        display.show(Piece("answer", piece))
    display.close()
    return screen.text()


@settings(max_examples=150)
@given(ANSWERS, st.lists(st.integers(0, 25), max_size=40), st.integers(30, 80))
def test_the_same_stands_there_however_it_came(answer: str, cuts: list[int], columns: int) -> None:
    assert shown(cut(answer, cuts), columns, 500) == shown([answer], columns, 500)


@settings(max_examples=100)
@example(answer="# Title\n\npara\n*** not a rule ***\nend", cuts=[17], rows=2)
@given(ANSWERS, st.lists(st.integers(0, 25), max_size=40), st.integers(2, 12))
def test_an_answer_taller_than_the_screen_loses_no_word(answer: str, cuts: list[int], rows: int) -> None:
    low, high = shown(cut(answer, cuts), 60, rows), shown([answer], 60, 500)
    assert len(low.split("\n")) >= len(high.split("\n"))
    for word in ("Title", "paragraph", "nested", "range", "never", "quoted", "html", "日本語", "end"):
        assert low.count(word) >= high.count(word)


@given(ANSWERS, st.lists(st.integers(0, 25), max_size=40))
def test_finished_blocks_are_those_of_the_whole(answer: str, cuts: list[int]) -> None:
    finished, growing = [], ""
    for piece in cut(answer, cuts):
        now = split(growing + piece)
        finished, growing = finished + now.finished, now.growing
    assert "".join(finished) + growing == answer
    whole = split(answer)
    assert [*finished, growing] == [*whole.finished, whole.growing]


def test_long_code_is_complete_on_a_small_screen() -> None:
    code = [f"line_{number} = {number}" for number in range(100)]
    answer = "```\n" + "\n".join(code) + "\n```\nafter"
    text = shown(cut(answer, [7] * 300), 80, 10)
    assert [line.strip() for line in text.split("\n") if line.strip()] == [*code, "after"]


def test_html_and_images_are_shown_where_they_are() -> None:
    answer = "Use `List` or List<int>, see ![a picture](pic.png) and [this](http://x).\n\n<div>\nblock\n</div>\n"
    assert shown([answer], 80, 24) == (
        "Use List or List<int>, see !a picture (pic.png) and this (http://x).\n\n<div> block </div>"
    )


class Resizable:
    def __init__(self) -> None:
        self.columns, self.rows = 40, 20

    def __call__(self) -> os.terminal_size:
        return os.terminal_size((self.columns, self.rows))


def test_only_what_changed_is_written() -> None:
    screen, written = Emulator(40, 20), []
    write = screen.write
    screen.write = lambda data: written.append(data) or write(data)  # type: ignore[method-assign,func-returns-value]
    live = LiveLines(screen, Resizable())  # type: ignore[arg-type]
    live.draw(["one", "two"], 0)
    live.draw(["one", "two", "three"], 0)
    live.draw(["one", "two", "three"], 0)
    assert len(written) == 2
    assert "one" not in written[1] and "three" in written[1]
    live.draw(["one", "2"], 2)
    live.draw(["next"], 0)
    assert screen.text() == "one\n2\nnext"


def test_a_narrower_terminal_folds_what_the_cursor_must_climb_over() -> None:
    written: list[str] = []
    size = Resizable()
    screen = Emulator(1000, 1000)
    screen.write = lambda data: written.append(data) or len(data)  # type: ignore[method-assign,func-returns-value]
    live = LiveLines(screen, size)  # type: ignore[arg-type]
    live.draw(["x" * 39, "y"], 0)
    size.columns = 20
    live.draw(["z"], 0)
    assert "\x1b[3A" in written[-1]


@pytest.mark.parametrize(
    ("term", "markdown", "kind"),
    [("xterm", True, RenderedDisplay), ("xterm", False, PlainDisplay), ("dumb", True, PlainDisplay)],
)
def test_markdown_is_for_terminals_that_can(
    term: str, markdown: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    assert type(open_display(Emulator(80, 24), markdown)) is kind  # type: ignore[arg-type]


def said(display_of: Callable[[Emulator], PlainDisplay | RenderedDisplay]) -> str:
    screen = Emulator(80, 24)
    display = display_of(screen)
    for piece in (Piece("reasoning", "hm, "), Piece("reasoning", "well"), Piece("answer", "yes")):
        display.show(piece)
    display.close()
    return screen.text()


def test_thoughts_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(RenderedDisplay) == "hm, well\n\nyes"  # type: ignore[arg-type]
    assert said(PlainDisplay) == "hm, well\n\nyes"  # type: ignore[arg-type]
    monkeypatch.setenv("TERM", "dumb")
    assert said(PlainDisplay) == "[thinking]\nhm, well\n[answer]\nyes"  # type: ignore[arg-type]


def test_a_model_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b]0;title\x07b\x9b31m\r\nc\td") == "a\ufffd]0;title\ufffdb\ufffd31m\nc\td"
