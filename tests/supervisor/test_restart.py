"""Histories of a process, and what the policy makes of each exit; the clock and chance are scripted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.supervisor.restart import Exit, GiveUp, Restart, RestartCounter
from dynamo_cli.topology.process import RestartPolicy

POLICY = RestartPolicy(max_restarts=3, window_s=60.0, backoff_s=0.25, backoff_max_s=1.0)
CRASH = Exit(1)
IN_WINDOW = GiveUp("gave up after 3 restarts within 60 s")
NEVER_READY = GiveUp("gave up after 3 restarts that never got ready")
ENDED = GiveUp("ended by itself", failed=False)
OFF = GiveUp("restart is off")
HOPELESS = GiveUp("starting it again cannot help")


def policy(**fields: object) -> RestartPolicy:
    return RestartPolicy(**{"max_restarts": 3, "backoff_s": 0.25, "backoff_max_s": 1.0, **fields})  # type: ignore[arg-type]


def history(policy: RestartPolicy, *exits: tuple[float, Exit], chance: float = 0.5) -> list[Restart | GiveUp]:
    counter = RestartCounter(policy, lambda: chance)
    return [counter.decide(exit, now) for now, exit in exits]


def restarts(*delays: float) -> list[Restart | GiveUp]:
    return [Restart(delay) for delay in delays]


class Case(NamedTuple):
    name: str
    policy: RestartPolicy
    exits: Sequence[tuple[float, Exit]]
    answers: Sequence[Restart | GiveUp]


def crashes(*times: float, ready_s: float = 0.0) -> list[tuple[float, Exit]]:
    return [(at, Exit(1, ready_s)) for at in times]


HISTORIES = [
    Case("one crash", POLICY, crashes(0), restarts(0.25)),
    Case("delays double", POLICY, crashes(0, 1, 2), restarts(0.25, 0.5, 1.0)),
    Case("delays have a maximum", policy(max_restarts=5), crashes(0, 1, 2, 3, 4), restarts(0.25, 0.5, 1.0, 1.0, 1.0)),
    Case("a crash loop ends", POLICY, crashes(0, 1, 2, 3), [*restarts(0.25, 0.5, 1.0), IN_WINDOW]),
    Case("a crash loop with READY in between ends too", POLICY, crashes(0, 1, 2, 3, ready_s=0.5),
         [*restarts(0.25, 0.5, 1.0), IN_WINDOW]),
    Case("crashes a window apart go on", POLICY, crashes(0, 61, 122, 183, 244, ready_s=30.0), restarts(*[0.25] * 5)),
    Case("slow failures that never got ready end", POLICY, crashes(0, 300, 600, 900),
         [*restarts(0.25, 0.25, 0.25), NEVER_READY]),
    Case("one READY forgives slow failures", POLICY,
         [*crashes(0, 300, 600), (900, Exit(1, 5.0)), *crashes(1200)], restarts(*[0.25] * 5)),
    Case("the window slides", POLICY, crashes(0, 30, 59, 61, ready_s=1.0), restarts(0.25, 0.5, 1.0, 1.0)),
    Case("the window's edge counts as outside", POLICY, crashes(0, 60, ready_s=1.0), restarts(0.25, 0.25)),
    Case("a stable run wipes the record", POLICY, [*crashes(0, 1, 2), (70, Exit(1, 65.0)), *crashes(71)],
         restarts(0.25, 0.5, 1.0, 0.25, 0.5)),
    Case("how long is stable can be set", policy(stable_s=5.0), [*crashes(0, 1, 2), (9, Exit(1, 5.0))],
         restarts(0.25, 0.5, 1.0, 0.25)),
    Case("not quite stable keeps the record", policy(stable_s=5.0), [*crashes(0, 1, 2), (9, Exit(1, 4.9))],
         [*restarts(0.25, 0.5, 1.0), IN_WINDOW]),
    Case("a longer stable_s than the window only delays the wiping", policy(stable_s=600.0, window_s=600.0),
         crashes(0, 100, 200, 300, ready_s=90.0),
         [*restarts(0.25, 0.5, 1.0), GiveUp("gave up after 3 restarts within 600 s")]),
    Case("success is the end", POLICY, [(0, Exit(0))], [ENDED]),
    Case("success after crashes is the end", POLICY, [*crashes(0), (1, Exit(0))], [*restarts(0.25), ENDED]),
    Case("another code may be a success", policy(success_codes=(0, 3)), [(0, Exit(3))], [ENDED]),
    Case("0 may be none", policy(success_codes=(3,)), [(0, Exit(0))], restarts(0.25)),
    Case("always restarts a success", policy(mode="always"), [(0, Exit(0))], restarts(0.25)),
    Case("always restarts a failure", policy(mode="always"), crashes(0), restarts(0.25)),
    Case("always gives up on a loop of successes", policy(mode="always"), [(float(i), Exit(0)) for i in range(4)],
         [*restarts(0.25, 0.5, 1.0), IN_WINDOW]),
    Case("no restarts nothing", policy(mode="no"), crashes(0), [OFF]),
    Case("no takes a success as one", policy(mode="no"), [(0, Exit(0))], [ENDED]),
    Case("a signal is a failure", POLICY, [(0, Exit(-9))], restarts(0.25)),
    Case("what cannot help is not tried", POLICY, [(0, Exit(5, permanent=True))], [HOPELESS]),
    Case("nor after a crash", POLICY, [*crashes(0), (1, Exit(2, permanent=True))], [*restarts(0.25), HOPELESS]),
    Case("a policy of no restarts", policy(max_restarts=0), crashes(0),
         [GiveUp("gave up after 0 restarts within 60 s")]),
    Case("a policy of one restart", policy(max_restarts=1), crashes(0, 1),
         [*restarts(0.25), GiveUp("gave up after 1 restart within 60 s")]),
    Case("no delay at all", policy(backoff_s=0.0), crashes(0, 1, 2), restarts(0.0, 0.0, 0.0)),
]  # fmt: skip


@pytest.mark.parametrize("case", HISTORIES, ids=lambda case: case.name)
def test_histories(case: Case) -> None:
    assert history(case.policy, *case.exits) == list(case.answers)


@pytest.mark.parametrize(("chance", "delay"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
def test_jitter_is_a_share_of_the_delay_to_both_sides(chance: float, delay: float) -> None:
    assert history(policy(backoff_s=1.0, jitter=0.25), (0, CRASH), chance=chance) == [Restart(delay)]


def test_without_jitter_chance_has_no_say() -> None:
    assert history(policy(jitter=0.0), (0, CRASH), chance=1.0) == [Restart(0.25)]


def test_the_total_counts_restarts_only() -> None:
    counter = RestartCounter(POLICY)
    for i in range(4):
        counter.decide(CRASH, float(i))
    assert counter.total == 3


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(-15, 5), st.floats(0, 100)), max_size=40), st.floats(0, 1))
def test_any_history_stays_within_the_policy(steps: list[tuple[float, int, float]], chance: float) -> None:
    counter, now = RestartCounter(POLICY, lambda: chance), 0.0
    recent: list[float] = []
    for pause, code, ready_s in steps:
        now += pause
        answer = counter.decide(Exit(code, ready_s), now)
        if isinstance(answer, GiveUp):
            break
        assert 0 <= answer.delay_s <= POLICY.backoff_max_s * (1 + POLICY.jitter)
        recent = [] if ready_s >= POLICY.window_s else [at for at in recent if now - at < POLICY.window_s]
        recent.append(now)
        assert len(recent) <= POLICY.max_restarts
