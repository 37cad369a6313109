from __future__ import annotations

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.text.stops import StopStrings

LETTERS = st.text(alphabet="abc<é", max_size=40)
STOPS = st.lists(st.text(alphabet="abc<é", min_size=1, max_size=5), max_size=4)
CUTS = st.lists(st.integers(0, 40), max_size=12)


def chunks_of(text: str, cuts: list[int]) -> list[str]:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


def expected(text: str, stops: list[str]) -> tuple[str, str | None]:
    for end in range(1, len(text) + 1):
        met = [stop for stop in stops if text[:end].endswith(stop)]
        if met:
            longest = max(met, key=len)
            return text[: end - len(longest)], longest
    return text, None


@given(text=LETTERS, stop=st.text(alphabet="abc<é", min_size=1, max_size=5), cuts=CUTS)
def test_one_stop_is_a_split_however_the_text_is_cut(text: str, stop: str, cuts: list[int]) -> None:
    finder = StopStrings([stop])
    shown = "".join(finder.push(chunk)[0] for chunk in chunks_of(text, cuts)) + finder.flush()
    assert shown == text.split(stop)[0]


@given(text=LETTERS, stops=STOPS, cuts=CUTS)
def test_the_first_stop_completed_wins(text: str, stops: list[str], cuts: list[int]) -> None:
    finder = StopStrings(stops)
    shown = "".join(finder.push(chunk)[0] for chunk in chunks_of(text, cuts)) + finder.flush()
    assert (shown, finder.matched) == expected(text, stops)


@given(text=LETTERS, stops=STOPS)
def test_no_more_is_held_back_than_may_become_a_stop(text: str, stops: list[str]) -> None:
    finder, shown = StopStrings(stops), ""
    for end, letter in enumerate(text, 1):
        new, matched = finder.push(letter)
        shown += new
        if matched:
            return
        prefixes = [stop[:n] for stop in stops for n in range(1, len(stop)) if text[:end].endswith(stop[:n])]
        assert shown == text[: end - max(map(len, prefixes), default=0)]


def test_nothing_after_a_match() -> None:
    finder = StopStrings(["END"])
    assert finder.push("a EN") == ("a ", None)
    assert finder.push("D b") == ("", "END")
    assert finder.push("c END d") == ("", "END")
    assert finder.flush() == ""


def test_without_stops_everything_passes() -> None:
    finder = StopStrings(["", ""])
    assert finder.push("abc") == ("abc", None)
    assert finder.flush() == ""


def test_linear_in_the_worst_case() -> None:
    finder = StopStrings(["a" * 1000 + "b"])
    started = time.process_time()
    shown = "".join(finder.push("a" * 10)[0] for _ in range(20_000)) + finder.flush()
    assert shown == "a" * 200_000
    assert time.process_time() - started < 5
