from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.router.admission import AdmissionQueue
from dynamo_cli.router.policies.base import RoutingRequest


def ask(request_id: str, tokens: int = 100, priority: float = 0.0, strict: int = 0) -> RoutingRequest:
    return RoutingRequest(request_id=request_id, tokens=tokens, priority=priority, strict_priority=strict)


def drained(queue: AdmissionQueue) -> str:
    names = []
    while (request := queue.pop()) is not None:
        names.append(request.request_id)
    return "".join(names)


def test_a_request_waits_when_every_worker_is_busy() -> None:
    queue, batch = AdmissionQueue(2.0), {1: 8192, 2: 4096}
    assert queue.busy([1, 2], {1: 16385, 2: 8193}, batch)
    assert not queue.busy([1, 2], {1: 16385, 2: 8192}, batch)
    assert not queue.busy([1, 2], {1: 16385}, batch)
    assert not queue.busy([1, 2, 3], {1: 99999, 2: 99999, 3: 99999}, batch), "the batch of 3 is unknown"
    assert not AdmissionQueue(None).busy([1], {1: 10**9}, batch)


def test_first_come_first_served_with_priorities_as_seconds_of_head_start() -> None:
    queue = AdmissionQueue(1.0)
    queue.push(ask("a"), 0.0)
    queue.push(ask("b"), 1.0)
    queue.push(ask("c", priority=1.5), 2.0)
    queue.push(ask("d", priority=1.0), 1.0)
    queue.push(ask("e", priority=1.0), 1.0)
    assert drained(queue) == "adecb"


def test_shortest_first_weighted_by_priority() -> None:
    queue = AdmissionQueue(1.0, "wspt")
    for request in (ask("a", 1000), ask("b", 100), ask("c", 1000, priority=19.0), ask("d", 100)):
        queue.push(request, 0.0)
    assert drained(queue) == "cbda"


def test_strict_tiers_come_before_everything() -> None:
    for order in ("fcfs", "wspt"):
        queue = AdmissionQueue(1.0, order)  # type: ignore[arg-type]
        queue.push(ask("a", 1, priority=1e9), 0.0)
        queue.push(ask("b", 10**6, strict=1), 1.0)
        queue.push(ask("c", 10**6, strict=2), 2.0)
        assert drained(queue) == "cba"


@given(st.integers(0, 1 << 30))
def test_everybody_has_a_turn_but_those_who_left(seed: int) -> None:
    rng = random.Random(seed)
    queue = AdmissionQueue(1.0, rng.choice(("fcfs", "wspt")))  # type: ignore[arg-type]
    waiting: set[str] = set()
    for number in range(300):
        act = rng.random()
        if act < 0.5:
            waiting.add(str(number))
            queue.push(ask(str(number), rng.randrange(0, 50), rng.random(), rng.randrange(2)), float(number))
        elif act < 0.8 and waiting:
            gone = rng.choice(sorted(waiting))
            assert queue.cancel(gone)
            assert not queue.cancel(gone)
            waiting.discard(gone)
        elif (request := queue.pop()) is not None:
            waiting.remove(request.request_id)
        assert len(queue) == len(waiting)
        assert len(queue._heap) <= 2 * len(waiting) + 64 + 1
    while (request := queue.pop()) is not None:
        waiting.remove(request.request_id)
    assert not waiting
