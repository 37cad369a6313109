from __future__ import annotations

import pytest

from dynamo_cli.supervisor.restart import Exit, GiveUp, Restart, RestartCounter
from dynamo_cli.topology.process import RestartPolicy

POLICY = RestartPolicy(max_restarts=3, window_s=60.0, backoff_s=0.25, backoff_max_s=1.0)
CRASH = Exit(1)


def history(policy: RestartPolicy, *exits: tuple[float, Exit]) -> list[Restart | GiveUp]:
    counter = RestartCounter(policy)
    return [counter.decide(exit, now) for now, exit in exits]


def test_backoff_doubles_up_to_its_maximum_and_then_gives_up() -> None:
    policy = RestartPolicy(max_restarts=4, window_s=60.0, backoff_s=0.25, backoff_max_s=1.0)
    answers = history(policy, *[(float(i), CRASH) for i in range(5)])
    assert answers[:4] == [Restart(0.25), Restart(0.5), Restart(1.0), Restart(1.0)]
    assert answers[4] == GiveUp("gave up after 4 restarts within 60 s")


def test_failures_outside_the_window_are_forgotten_when_it_got_ready() -> None:
    ready = Exit(1, ready_s=30.0)
    answers = history(POLICY, *[(i * 61.0, ready) for i in range(10)])
    assert answers == [Restart(0.25)] * 10


def test_a_stable_run_resets_the_counter() -> None:
    answers = history(POLICY, (0, CRASH), (1, CRASH), (2, CRASH), (70, Exit(1, ready_s=65.0)), (71, CRASH))
    assert answers[3:] == [Restart(0.25), Restart(0.5)]


def test_a_process_that_never_gets_ready_is_not_started_for_ever_however_slowly_it_fails() -> None:
    answers = history(POLICY, *[(i * 300.0, CRASH) for i in range(4)])
    assert answers[3] == GiveUp("gave up after 3 restarts that never got ready")


@pytest.mark.parametrize(
    ("mode", "code", "expected"),
    [
        ("no", 1, GiveUp("restart is off")),
        ("no", 0, GiveUp("ended by itself", failed=False)),
        ("on-failure", 0, GiveUp("ended by itself", failed=False)),
        ("on-failure", -9, Restart(0.25)),
        ("always", 0, Restart(0.25)),
        ("always", 3, Restart(0.25)),
    ],
)
def test_modes(mode: str, code: int, expected: Restart | GiveUp) -> None:
    assert history(RestartPolicy(mode=mode), (0.0, Exit(code))) == [expected]  # type: ignore[arg-type]


def test_a_permanent_failure_is_not_tried_again() -> None:
    assert history(POLICY, (0, Exit(5, permanent=True))) == [GiveUp("starting it again cannot help")]


def test_the_total_counts_restarts_only() -> None:
    counter = RestartCounter(POLICY)
    for i in range(4):
        counter.decide(CRASH, float(i))
    assert counter.total == 3
