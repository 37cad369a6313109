from __future__ import annotations

from dynamo_cli.bench.chaos.outcome import Outcome, seen

FINE = Outcome(0.0, 2.0, longest_gap_s=0.2, first_s=0.1)


def test_what_is_complete_is_not_lost() -> None:
    view = seen([FINE, Outcome(1.0, 3.0, longest_gap_s=0.5), Outcome(1.0, 3.0, differs=True)])
    assert (view.requests, view.failed, view.cut, view.lost, view.differ) == (3, 0, 0, 0, 1)
    assert (view.longest_gap_s, view.longest_first_s) == (0.5, 0.1)


def test_a_stream_that_had_begun_is_cut_and_anything_else_failed() -> None:
    cut, failed = Outcome(0.0, 1.0, "error event", "why", begun=True), Outcome(0.0, 1.0, "http 503", "none left")
    view = seen([FINE, cut, failed, failed])
    assert (view.failed, view.cut, view.with_frontend, view.lost) == (2, 1, 0, 3)
    assert view.errors == {"http 503: none left": 2, "error event: why": 1}


def test_only_what_ended_with_its_connection_as_a_frontend_was_killed_is_excused() -> None:
    lost = Outcome(1.0, 2.1, "connection lost", begun=True)
    assert seen([lost], [2.0]).lost == 0
    assert seen([lost]).lost == 1, "no frontend was killed"
    assert seen([lost], [0.5]).lost == 1, "before it was sent"
    assert seen([lost], [1.2]).lost == 1, "long before its end"
    assert seen([Outcome(1.0, 2.1, "http 503")], [2.0]).lost == 1, "somebody answered"
