from __future__ import annotations

import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.router.affinity import SessionAffinity

BOTH = [1, 2]


def test_a_session_is_bound_until_it_has_been_idle_for_its_time() -> None:
    affinity = SessionAffinity(60)
    assert affinity.worker("s", BOTH, 0.0) is None
    affinity.started("s", 1, 0.0)
    assert affinity.worker("s", BOTH, 1000.0) == 1  # a request is still running
    affinity.ended("s", 1, 1000.0)
    assert affinity.worker("s", BOTH, 1059.9) == 1
    assert affinity.worker("s", BOTH, 1060.0) is None
    assert len(affinity) == 0


def test_a_worker_that_is_no_candidate_loses_the_session() -> None:
    affinity = SessionAffinity(60)
    affinity.started("s", 1, 0.0)
    assert affinity.worker("s", [2], 1.0) is None
    assert affinity.worker("s", BOTH, 1.0) is None
    affinity.ended("s", 1, 2.0)
    assert len(affinity) == 0


def test_a_worker_that_fails_loses_all_its_sessions() -> None:
    affinity = SessionAffinity(60)
    for session, worker in (("a", 1), ("b", 2), ("c", 1)):
        affinity.started(session, worker, 0.0)
    affinity.remove_worker(1)
    assert [affinity.worker(session, BOTH, 1.0) for session in "abc"] == [None, 2, None]


def test_a_session_that_moved_is_not_touched_by_the_end_of_its_old_request() -> None:
    affinity = SessionAffinity(60)
    affinity.started("s", 1, 0.0)
    affinity.started("s", 2, 1.0)
    affinity.ended("s", 1, 2.0)
    assert affinity.worker("s", BOTH, 500.0) == 2
    affinity.close("s")
    assert affinity.worker("s", BOTH, 500.0) is None


def test_hard_stays_always_and_soft_as_long_as_it_pays() -> None:
    assert SessionAffinity(60, "hard").prefers(10_000, 0, 10)
    soft = SessionAffinity(60, "soft")
    assert soft.prefers(110, 100, 10)
    assert not soft.prefers(111, 100, 10)


def test_idle_sessions_cost_nothing_once_their_time_is_over() -> None:
    affinity = SessionAffinity(10)
    for number in range(1000):
        affinity.started(str(number), 1, number * 1.0)
        affinity.ended(str(number), 1, number * 1.0)
        affinity.worker("x", BOTH, number * 1.0)
    assert len(affinity) == 10


@pytest.mark.parametrize("seconds", [0, 0.5, 31_536_001, float("nan")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="give 1 to 31536000 seconds"):
        SessionAffinity(seconds)
