"""A frontend that asks a router process, and what it does when there is none or it is slow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from dynamo_cli.errors import Disconnected, InvalidRequest, ModelMissing, NoInstances
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.kv import block_hashes
from dynamo_cli.protocol.router_service import Advice, RoutingQuestion
from dynamo_cli.routing.asking import ModelAsker, RouterService
from dynamo_cli.routing.dispatch import Dispatcher
from dynamo_cli.routing.flight import Flight
from dynamo_cli.routing.hints import NO_HINTS, RoutingHints
from dynamo_cli.runtime.client import Client
from dynamo_cli.runtime.requests.base import StreamSink
from tests.frontend.toy import asyncio_deadline
from tests.routing.test_dispatch import FakeStream, Heard
from tests.routing.test_kv_placing import BLOCK, PROMPT, World

LIMIT_S = 0.05
QUESTION = RoutingQuestion(model="m", request_id="r")


class FakeRouters:
    """The client of the endpoint. Nobody answers by themselves."""

    def __init__(self, *instances: int) -> None:
        self.live = list(instances)
        self.down: list[int] = []
        self.questions: list[RoutingQuestion] = []
        self.streams: list[FakeStream] = []

    def instance_ids(self) -> list[int]:
        return self.live

    def send(self, question: RoutingQuestion, instance: int, sink: StreamSink, request_id: str) -> FakeStream:
        if instance not in self.live:
            raise NoInstances("gone")
        self.questions.append(question)
        self.streams.append(FakeStream(instance, sink))
        return self.streams[-1]

    def report_down(self, instance: int) -> None:
        self.down.append(instance)
        self.live = [one for one in self.live if one != instance]

    async def close(self) -> None: ...

    def answer(self, worker: int) -> None:
        sink = self.streams[-1].sink
        sink.on_frame([Advice(worker)])
        sink.on_end()


class Asking:
    def __init__(self, *instances: int) -> None:
        self.routers = FakeRouters(*instances)
        self.service = RouterService("me", LIMIT_S)
        self.service.use(cast(Client, self.routers))
        self.answers: list[int | None] = []

    def ask(self) -> Any:
        instance = self.service.instance()
        return None if instance is None else self.service.ask(instance, QUESTION, self.answers.append)

    async def answered(self, times: int) -> None:
        async with asyncio_deadline(10):
            while len(self.answers) < times:
                await asyncio.sleep(0.005)


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    asking = Asking(1, 2)
    yield asking
    await asking.service.close()


async def test_the_first_of_several_is_asked_and_its_answer_heard_once(asking: Asking) -> None:
    assert asking.ask() is not None
    assert asking.routers.streams[0].instance == 1
    asking.routers.answer(7)
    assert asking.answers == [7]
    await asyncio.sleep(2 * LIMIT_S)
    assert (asking.answers, asking.routers.down) == ([7], [])
    assert asking.service.counts["advised"] == 1


async def test_one_that_is_late_is_not_waited_for_by_others_and_left_out(asking: Asking) -> None:
    for _ in range(3):
        asking.ask()
        await asyncio.sleep(LIMIT_S / 4)
    await asking.answered(3)
    assert asking.answers == [None, None, None]
    assert asking.routers.down == [1]
    assert [stream.calls for stream in asking.routers.streams] == [["cancel"]] * 3
    asking.ask()
    assert asking.routers.streams[-1].instance == 2, "the other one is asked"
    asking.routers.live = [1]
    assert asking.ask() is None, "it answers pings again, but was late a moment ago"
    assert asking.service.counts == {"advised": 0, "late": 3, "lost": 0, "refused": 0, "absent": 1}


async def test_an_answer_after_all_is_ignored(asking: Asking) -> None:
    asking.ask()
    await asking.answered(1)
    asking.routers.answer(7)
    assert asking.answers == [None]


@pytest.mark.parametrize(
    ("error", "outcome", "warnings"),
    [
        (Disconnected("lost"), "lost", 0),
        (ModelMissing("not yet"), "refused", 0),
        (InvalidRequest("other blocks"), "refused", 1),
    ],
)
async def test_an_error_is_no_answer(
    asking: Asking, caplog: pytest.LogCaptureFixture, error: Any, outcome: Any, warnings: int
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            asking.ask()
            asking.routers.streams[-1].sink.on_error(error)
    assert asking.answers == [None, None]
    assert asking.service.counts[outcome] == 2
    assert len(caplog.messages) == warnings
    assert asking.routers.down == [], "who has lost the connection says so itself"


async def test_an_answer_without_content_is_no_answer(asking: Asking) -> None:
    asking.ask()
    asking.routers.streams[-1].sink.on_end()
    assert asking.answers == [None]


async def test_who_gives_up_hears_nothing(asking: Asking) -> None:
    asked = asking.ask()
    asked.cancel()
    asked.cancel()
    asking.routers.answer(7)
    await asyncio.sleep(2 * LIMIT_S)
    assert (asking.answers, asking.routers.down, asking.routers.streams[0].calls) == ([], [], ["cancel"])


async def test_nobody_is_there() -> None:
    asking = Asking()
    assert asking.ask() is None
    assert asking.service.counts["absent"] == 1
    assert RouterService("me").instance() is None


class Routed:
    """A dispatcher of three workers, in mode kv, that asks."""

    def __init__(self, *instances: int) -> None:
        self.asking = Asking(*instances)
        self.world = World(3)
        self.dispatcher = Dispatcher(self.world.placer, asker=ModelAsker(self.asking.service, self.world.placer))
        self.heard = Heard()

    @property
    def routers(self) -> FakeRouters:
        return self.asking.routers

    @property
    def sent(self) -> list[FakeStream]:
        return self.world.client.streams

    def send(self, instance_id: int | None = None, hints: RoutingHints = NO_HINTS) -> Flight:
        request = EngineRequest("m", PROMPT)
        return self.dispatcher.send(request, self.heard, request_id="r", instance_id=instance_id, hints=hints)


@pytest.fixture
async def routed() -> AsyncIterator[Routed]:
    routed = Routed(1)
    yield routed
    await routed.asking.service.close()


async def test_a_request_waits_for_the_routers_answer_and_goes_there(routed: Routed) -> None:
    flight = routed.send(hints=RoutingHints("s", 7, 0.5, 0.0))
    assert (routed.sent, flight.instance_id, routed.world.idle()) == ([], 0, True)
    (question,) = routed.routers.questions
    assert question == RoutingQuestion(
        model="m",
        tokens=len(PROMPT),
        hashes=block_hashes(PROMPT, BLOCK),
        block_size=BLOCK,
        session="s",
        expected_output=7,
        overlap_credit=0.5,
        temperature=0.0,
        router="me",
        request_id="r",
        record=True,
    )
    routed.routers.answer(2)
    assert [stream.instance for stream in routed.sent] == [2]
    assert routed.world.router.active.requests == {2: 1}
    routed.sent[0].sink.on_frame([Delta([1], "stop")])
    routed.sent[0].sink.on_end()
    assert routed.heard.ended == 1 and routed.world.idle()


async def test_without_a_router_it_goes_at_once() -> None:
    routed = Routed()
    routed.send()
    assert len(routed.sent) == 1


async def test_when_the_router_is_silent_the_frontend_chooses(routed: Routed) -> None:
    routed.send()
    await routed.asking.answered(0)
    async with asyncio_deadline(10):
        while not routed.sent:
            await asyncio.sleep(0.005)
    routed.send()
    assert len(routed.sent) == 2, "nobody waits for it again"


async def test_a_worker_that_is_not_there_is_not_believed(routed: Routed) -> None:
    routed.send()
    routed.routers.answer(99)
    assert routed.sent[0].instance in (1, 2, 3)


async def test_a_busy_worker_is_not_among_the_candidates(routed: Routed) -> None:
    routed.world.model.candidates = [1, 3]
    routed.send()
    assert routed.routers.questions[0].candidates == [1, 3]


async def test_a_pinned_request_and_one_that_moves_are_not_asked_about(routed: Routed) -> None:
    routed.send(instance_id=3)
    assert [stream.instance for stream in routed.sent] == [3]
    routed.send()
    routed.routers.answer(2)
    routed.sent[-1].sink.on_error(Disconnected("lost"))
    assert len(routed.sent) == 3 and len(routed.routers.questions) == 1


async def test_a_client_that_leaves_meanwhile_leaves_nothing(routed: Routed) -> None:
    flight = routed.send()
    flight.cancel()
    flight.cancel()
    routed.routers.answer(2)
    assert routed.sent == [] and routed.world.idle() and routed.dispatcher.inflight == {}
    assert routed.routers.streams[0].calls == ["cancel"]


async def test_a_reader_that_pauses_meanwhile_is_not_flooded(routed: Routed) -> None:
    routed.send().pause()
    routed.routers.answer(2)
    assert routed.sent[0].calls == ["pause"]


async def test_workers_that_go_meanwhile_are_an_error_of_the_request(routed: Routed) -> None:
    routed.send()
    routed.world.have()
    routed.routers.answer(2)
    assert [type(error) for error in routed.heard.errors] == [NoInstances]


async def test_without_workers_it_is_refused_before_anybody_is_asked(routed: Routed) -> None:
    routed.world.have()
    with pytest.raises(NoInstances):
        routed.send()
    assert routed.routers.questions == []
