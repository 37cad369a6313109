from __future__ import annotations

from dynamo_cli.supervisor.measuring.window import WINDOW_S, Window


def test_a_span_is_as_long_as_the_window_as_soon_as_it_can_be() -> None:
    window: Window[int] = Window()
    assert window.span() is None and window.last(0.0) is None
    for at in range(30):
        window.add(float(at), at)
        span = window.span()
        assert span is None if at == 0 else span is not None and span.now == at
        if span:
            assert span.seconds == min(at, WINDOW_S) and span.before == at - span.seconds


def test_rare_looks_make_it_longer_never_shorter() -> None:
    window: Window[str] = Window()
    for at, look in ((0.0, "a"), (10.0, "b"), (20.0, "c"), (23.0, "d")):
        window.add(at, look)
    assert window.span() == ("b", "d", 13.0)


def test_another_life_begins_anew() -> None:
    window: Window[int] = Window()
    window.add(0.0, 100, life=1)
    window.add(1.0, 120, life=1)
    window.add(2.0, 3, life=2)
    assert window.span() is None and window.last(2.0) == 3
    window.add(3.0, 4, life=2)
    assert window.span() == (3, 4, 1.0)


def test_what_was_seen_long_ago_is_not_known_any_more() -> None:
    window: Window[int] = Window()
    window.add(0.0, 1)
    assert window.last(WINDOW_S) == 1
    assert window.last(2 * WINDOW_S) is None


def test_two_looks_at_one_moment_are_no_span() -> None:
    window: Window[int] = Window()
    window.add(1.0, 1)
    window.add(1.0, 2)
    assert window.span() is None and window.last(1.0) == 2
