"""What a router process answers, and what it counts meanwhile."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import DynamoError, InvalidRequest, NoInstances
from dynamo_cli.protocol.kv import KvEvent, Stored, block_hashes
from dynamo_cli.protocol.router_service import OverlapScore, PotentialLoad, RoutingQuestion, WorkerBlocks
from dynamo_cli.protocol.sequences import PrefillCompleted, SequenceAdded, SequenceFreed
from dynamo_cli.router.core import KvRouter
from dynamo_cli.router.policies import make_policy
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.routing.service.adviser import ModelAdviser
from dynamo_cli.routing.service.metrics import metrics
from dynamo_cli.routing.service.unconfirmed import TTL_S
from dynamo_cli.routing.shared_sequences import SharedSequences
from tests.routing.test_kv_placing import BLOCK, PROMPT, card_of

HASHES = block_hashes(PROMPT, BLOCK)
NEVER = cast(Any, None)


class World:
    """A router process's side of model "m"; `now` is its clock."""

    def __init__(self, workers: int = 3, card: Any = card_of, **options: Any) -> None:
        self.now = 0.0
        self.model = RoutedModel("m")
        self.model.cards = {worker: card(worker) for worker in range(1, workers + 1)}
        self.model.candidates = list(self.model.cards)
        self.model.identity = self.model.cards[1].identity
        shared = SharedSequences(lambda: NEVER, 99)
        rng = random.Random(1)
        self.adviser = ModelAdviser(self.model, KvRoutingOptions(**options), None, shared, rng, lambda: self.now)

    @property
    def router(self) -> KvRouter:
        return self.adviser.placer.router

    def stored(self, worker: int, blocks: int) -> None:
        self.adviser.placer.hear(worker, [Stored(HASHES[:blocks])])

    def ask(self, request_id: str = "", prompt: list[int] = PROMPT, **more: Any) -> int:
        """The worker; with a request id it is recorded."""
        question = RoutingQuestion(model="m", token_ids=prompt, **recorded(request_id), **more)
        return self.adviser.best_worker(question).worker

    def idle(self) -> bool:
        active = self.router.active
        return not (len(active) or active.requests or active.prefill_tokens or active.blocks)


def recorded(request_id: str) -> dict[str, Any]:
    return {"router": "f", "request_id": request_id, "record": True} if request_id else {}


def added(worker: int, request_id: str = "a") -> SequenceAdded:
    return SequenceAdded("f", request_id, worker, HASHES, len(PROMPT))


def test_a_prompt_goes_to_who_holds_it() -> None:
    world = World()
    world.stored(2, 4)
    advice = world.adviser.best_worker(RoutingQuestion(model="m", token_ids=PROMPT))
    assert (advice.worker, advice.overlap_blocks, set(advice.costs)) == (2, 4, {1, 2, 3})
    assert min(advice.costs, key=lambda worker: advice.costs[worker]) == 2
    hashed = RoutingQuestion(model="m", tokens=len(PROMPT), hashes=HASHES, block_size=BLOCK)
    assert world.adviser.best_worker(hashed) == advice
    assert world.idle() and world.adviser.placer.counts.requests == 0


def test_what_is_recorded_counts_at_once_so_a_burst_is_spread() -> None:
    world = World(4)
    chosen = Counter(world.ask(f"r{n}", [n * 1000 + token for token in range(80)]) for n in range(12))
    assert chosen == {1: 3, 2: 3, 3: 3, 4: 3}
    assert world.router.active.prefill_tokens == dict.fromkeys(chosen, 240)
    assert world.router.active.shares(1)["f"].requests == 3


def test_a_frontend_confirms_it_and_it_counts_once_until_its_end() -> None:
    world = World()
    worker = world.ask("a")
    world.adviser.hear_routers([added(worker)])
    assert world.router.active.requests == {worker: 1}
    recent = dict(world.router.recent.levels)
    assert sum(recent.values()) == len(PROMPT)
    world.now = 3 * TTL_S
    world.adviser.expire()
    assert world.router.active.requests == {worker: 1}
    world.adviser.hear_routers([PrefillCompleted("f", "a"), SequenceFreed("f", "a")])
    assert world.idle() and len(world.adviser.unconfirmed) == 0


def test_a_frontend_that_sent_it_elsewhere_moves_it_with_its_work() -> None:
    world = World()
    worker = world.ask("a")
    other = next(one for one in (1, 2, 3) if one != worker)
    world.adviser.hear_routers([added(other)])
    assert world.router.active.requests == {other: 1}
    assert world.router.recent.levels[other] == len(PROMPT)


def test_what_nobody_confirms_is_taken_back() -> None:
    world = World()
    world.ask("a")
    world.now = TTL_S - 0.1
    world.ask("b")
    assert sum(world.router.active.requests.values()) == 2
    world.now = TTL_S
    world.ask("c")
    world.now = 3 * TTL_S
    world.adviser.expire()
    assert world.idle() and world.adviser.unconfirmed.expired == 3
    said = metrics({"m": world.adviser}, {"best_worker_id": 3}).decode()
    assert 'dynamo_component_router_expired_requests_total{model="m"} 3\n' in said
    assert 'dynamo_component_requests_total{endpoint="best_worker_id"} 3\n' in said


def test_a_question_that_comes_after_its_frontend_has_decided_changes_nothing() -> None:
    world = World()
    world.adviser.hear_routers([added(3)])
    world.ask("a")
    assert world.router.active.requests == {3: 1}
    world.now = 3 * TTL_S
    world.adviser.expire()
    assert world.router.active.requests == {3: 1}


def test_a_frontend_that_is_gone_takes_all_it_asked_along() -> None:
    world = World()
    world.ask("a")
    world.adviser.hear_routers([added(1, "b")])
    world.adviser.forget_router("f")
    assert world.idle() and len(world.adviser.unconfirmed) == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("ask", "sent", "sent elsewhere", "first token", "end", "wait", "frontend gone")),
        st.sampled_from("fg"),
        st.sampled_from("abc"),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_frontends_say_and_leave_unsaid_what_counts_is_what_they_have(
    steps: list[tuple[str, str, str]],
) -> None:
    """`truth`: the worker of each request that a frontend has told of and not ended."""
    world, truth = World(), dict[tuple[str, str], int]()
    advised: dict[tuple[str, str], int] = {}
    for what, router, request_id in steps:
        key = router, request_id
        if what == "ask":
            question = RoutingQuestion(model="m", token_ids=PROMPT, router=router, request_id=request_id, record=True)
            advised[key] = world.adviser.best_worker(question).worker
        elif what.startswith("sent"):
            worker = advised.get(key, 1) if what == "sent" else advised.get(key, 1) % 3 + 1
            world.adviser.hear_routers([SequenceAdded(router, request_id, worker, HASHES, len(PROMPT))])
            truth[key] = worker
        elif what == "first token":
            world.adviser.hear_routers([PrefillCompleted(router, request_id)])
        elif what == "end":
            world.adviser.hear_routers([SequenceFreed(router, request_id)])
            truth.pop(key, None)
        elif what == "wait":
            world.now += TTL_S * 0.7
        else:
            world.adviser.forget_router(router)
            truth = {one: worker for one, worker in truth.items() if one[0] != router}
    world.now += TTL_S
    world.adviser.expire()
    assert world.router.active.requests == dict(Counter(truth.values()))
    world.adviser.hear_routers([SequenceFreed(*key) for key in truth])
    assert world.idle() and not world.adviser.unconfirmed


def test_guesses_are_made_of_what_was_advised() -> None:
    world = World(card=lambda worker: card_of(worker, kv_events=False))
    worker = world.ask("a")
    world.adviser.hear_routers([added(worker), SequenceFreed("f", "a")])
    assert world.ask() == worker
    assert world.adviser.overlap_scores(RoutingQuestion(model="m", token_ids=PROMPT))[worker - 1].device == 5


def test_a_session_stays_at_its_worker() -> None:
    world = World(session_ttl_s=60.0)
    worker = world.ask("a", session="s")
    world.adviser.hear_routers([SequenceAdded("f", "a", worker, HASHES, len(PROMPT), session="s")])
    others = {world.ask(f"r{n}", [9] * 80, session="s") for n in range(5)}
    assert others == {worker}
    advice = world.adviser.best_worker(RoutingQuestion(model="m", token_ids=PROMPT, session="s"))
    assert list(advice.costs) == [worker]


def test_hints_of_a_request_stand_for_the_routers_options() -> None:
    world = World()
    world.stored(2, 5)
    world.adviser.hear_routers([added(2), PrefillCompleted("f", "a")])
    assert world.ask() == 2
    assert world.ask(overlap_credit=0.0) != 2


def test_only_candidates_are_chosen() -> None:
    world = World()
    world.stored(2, 5)
    assert world.ask(candidates=[1, 3, 77]) in (1, 3)
    world.model.candidates = [3]
    assert world.ask() == 3


@pytest.mark.parametrize(
    ("question", "error", "says"),
    [
        ({"candidates": [77]}, NoInstances, "this router knows none of the workers that could take a request of model"),
        (
            {"hashes": HASHES, "tokens": 80, "block_size": 32},
            InvalidRequest,
            "the blocks of m have 16 tokens, those of the question 32: give token_ids, or hashes of the same blocks",
        ),
        (
            {"hashes": HASHES, "tokens": 79, "block_size": BLOCK},
            InvalidRequest,
            "5 blocks of 16 tokens are more than tokens, 79",
        ),
        ({"token_ids": [1 << 32] * 16}, InvalidRequest, "a token id has more than 32 bits"),
        ({"record": True, "router": "f"}, InvalidRequest, "to record a request its router and request_id are needed"),
    ],
)
def test_what_cannot_be_is_one_line(question: dict[str, Any], error: type[DynamoError], says: str) -> None:
    with pytest.raises(error) as caught:
        World().adviser.best_worker(RoutingQuestion(model="m", **question))
    assert str(caught.value).startswith(says)


def test_overlaps_and_loads_of_each_candidate() -> None:
    world = World()
    world.stored(1, 2)
    world.adviser.placer.hear(1, [Stored(HASHES[2:4], "host")])
    world.adviser.hear_routers([SequenceAdded("f", "a", 2, HASHES[:1], 30)])
    question = RoutingQuestion(model="m", token_ids=PROMPT)
    assert world.adviser.overlap_scores(question) == [
        OverlapScore(1, 2, 2, 0),
        OverlapScore(2, 1, 0, 0),
        OverlapScore(3, 0, 0, 0),
    ]
    assert world.adviser.potential_loads(question) == [
        PotentialLoad(1, 48, 5, 1),
        PotentialLoad(2, 30 + 64, 5, 2),
        PotentialLoad(3, 80, 5, 1),
    ]
    assert world.router.active.requests == {2: 1}


@pytest.mark.parametrize("told", [True, False])
def test_a_dump_builds_the_same_from_nothing(told: bool) -> None:
    world = World(card=lambda worker: card_of(worker, kv_events=told))
    rng = random.Random(2)
    for n in range(300):
        prompt = PROMPT[: rng.randrange(81)] + [rng.randrange(9000) for _ in range(40)]
        world.adviser.hear_routers([SequenceAdded("f", f"r{n}", 1 + n % 3, block_hashes(prompt, BLOCK), len(prompt))])
        if told:
            world.adviser.placer.hear(1 + n % 3, [Stored(block_hashes(prompt, BLOCK))])
    built = KvRouter(make_policy("kv", rng), block_size=BLOCK)
    for worker in (1, 2, 3):
        built.add_worker(worker)
    for dumped in world.adviser.dump():
        if isinstance(dumped, WorkerBlocks):
            blocks: list[KvEvent] = dumped.events
            for event in blocks:
                built.apply(dumped.worker, event)
        else:
            for sequence in dumped.events:
                built.hear(sequence, 0.0)
    assert [built.known_blocks(one) for one in (1, 2, 3)] == [world.router.known_blocks(one) for one in (1, 2, 3)]
    assert built.active.prefill_tokens == world.router.active.prefill_tokens
    assert built.active.blocks == world.router.active.blocks
