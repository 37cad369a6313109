"""Whatever order things happen in, what a request adds to a worker's load it takes away again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.router.load import Booking, LoadNow, Loads

BLOCK = 16
WORKER = 7
tokens = st.integers(0, 100)


class AnyOrder(RuleBasedStateMachine):
    """One worker, reported on by an honest engine that knows exactly what this router sent, and some of others."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.loads = Loads()
        self.waiting: dict[Booking, int] = {}
        self.running: dict[Booking, int] = {}
        self.foreign = 0

    @rule(target=requests, prompt=tokens)
    def begin(self, prompt: int) -> Booking:
        booking = self.loads.book(WORKER, prompt, BLOCK)
        self.waiting[booking] = prompt
        self.running[booking] = -(-prompt // BLOCK)
        return booking

    @rule(booking=requests)
    def first_token(self, booking: Booking) -> None:
        booking.answered()
        self.waiting.pop(booking, None)

    @rule(booking=requests)
    def end(self, booking: Booking) -> None:
        booking.over()
        self.waiting.pop(booking, None)
        self.running.pop(booking, None)

    @rule(others=tokens)
    def report(self, others: int) -> None:
        self.foreign = others
        own = WorkerLoad(sum(self.running.values()) + others, 1000, sum(self.waiting.values()) + others)
        self.loads.report(WORKER, own)

    @invariant()
    def what_is_known_is_what_there_is(self) -> None:
        blocks, prompts = sum(self.running.values()), sum(self.waiting.values())
        assert self.loads.of(WORKER) == LoadNow(blocks + self.foreign, prompts + self.foreign)

    def teardown(self) -> None:
        for booking in list(self.running):
            self.end(booking)
        self.report(0)
        assert self.loads.of(WORKER) == LoadNow(0, 0)


def test_any_order() -> None:
    run_state_machine_as_test(AnyOrder)  # type: ignore[no-untyped-call]


@given(st.lists(tokens, min_size=1))
def test_without_a_report_it_is_what_was_sent_from_here(prompts: list[int]) -> None:
    loads = Loads()
    bookings = [loads.book(WORKER, prompt, BLOCK) for prompt in prompts]
    assert loads.of(WORKER) == (sum(-(-prompt // BLOCK) for prompt in prompts), sum(prompts))
    assert loads.known() == {}
    for booking in bookings:
        booking.over()
        booking.answered()
    assert loads.of(WORKER) == (0, 0)


def test_a_worker_that_prefilled_from_its_cache_is_never_less_than_idle() -> None:
    loads = Loads()
    booking = loads.book(WORKER, 100, BLOCK)
    loads.report(WORKER, WorkerLoad(2, 10, 20))
    booking.over()
    assert loads.of(WORKER) == (0, 0)


def test_blocks_of_unknown_size_are_not_counted() -> None:
    loads = Loads()
    loads.book(WORKER, 100, 0)
    assert loads.of(WORKER) == (0, 100)


def test_a_worker_that_has_gone_is_forgotten_and_its_requests_end_in_peace() -> None:
    loads = Loads()
    booking = loads.book(WORKER, 100, BLOCK)
    loads.report(8, WorkerLoad(1, 10, 5))
    loads.keep({8})
    booking.over()
    assert loads.of(WORKER) == (0, 0)
    assert loads.known() == {8: (1, 5)}
