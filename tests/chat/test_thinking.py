from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.chat.thinking import ThinkSplitter


def told_apart(pieces: list[str]) -> tuple[str, str]:
    splitter = ThinkSplitter()
    found = [piece for text in pieces for piece in splitter.feed(text)] + splitter.flush()
    by_kind = {kind: "".join(piece.text for piece in found if piece.kind == kind) for kind in ("reasoning", "answer")}
    return by_kind["reasoning"], by_kind["answer"]


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("plain", "", "plain"),
        (" w0", "", " w0"),
        ("<think>hm</think>yes", "hm", "yes"),
        ("\n<think>\nhm\n</think>\n\nyes", "\nhm\n", "yes"),
        ("<think>a</think>\n<think>b</think>c", "ab", "c"),
        ("<think></think>c", "", "c"),
        ("<think>never ends < /think", "never ends < /think", ""),
        ("<think>a </thin> b</think>c", "a </thin> b", "c"),
        ("<thin ice", "", "<thin ice"),
        ("<th", "", "<th"),
        ("write <think>x</think> so", "", "write <think>x</think> so"),
        ("", "", ""),
    ],
)
@given(data=st.data())
def test_any_cut_tells_the_same_apart(text: str, reasoning: str, answer: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert told_apart(pieces) == (reasoning, answer)


def test_nothing_is_held_back_longer_than_needed() -> None:
    splitter = ThinkSplitter()
    assert splitter.feed("<think>") == []
    assert [piece.text for piece in splitter.feed("so")] == ["so"]
    assert [piece.text for piece in splitter.feed("me</")] == ["me"]
    assert [(piece.kind, piece.text) for piece in splitter.feed("think>yes")] == [("answer", "yes")]
    assert [piece.text for piece in splitter.feed("<think>")] == ["<think>"]
