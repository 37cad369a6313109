"""How a frontend asks the router process of its deployment, and goes on by itself when that does not answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Literal, NamedTuple

from dynamo_cli.errors import DynamoError, InvalidRequest, PlaneError, StreamIncomplete
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.instance import EndpointId
from dynamo_cli.protocol.kv import block_hashes
from dynamo_cli.protocol.router_service import BEST_WORKER, ROUTER, Advice, RoutingQuestion
from dynamo_cli.routing.hints import RoutingHints
from dynamo_cli.routing.kv_placing import KvPlacer
from dynamo_cli.runtime.requests.base import Stream, StreamSink

if TYPE_CHECKING:
    from dynamo_cli.runtime.client import Client
    from dynamo_cli.runtime.runtime import DistributedRuntime

LIMIT_S = 0.2
"""A router that is well answers in a millisecond."""
REST_S, LONGEST_REST_S = 1.0, 30.0
"""One that was late is not asked for so long, twice as long each time it is late again."""
BUSY_S = 0.02
"""A timer that comes so late itself says that this process was busy: the answer may be there, unread."""
Outcome = Literal["advised", "late", "lost", "refused", "absent"]
OUTCOMES: tuple[Outcome, ...] = ("advised", "late", "lost", "refused", "absent")
Answered = Callable[["int | None"], None]
log = logging.getLogger(__name__)


class Asked(StreamSink):
    """A question on its way. Whoever asked hears of the answer once, or of None."""

    __slots__ = ("_answered", "_service", "deadline", "instance", "stream")

    stream: Stream

    def __init__(self, service: RouterService, instance: int, deadline: float, answered: Answered) -> None:
        self.instance = instance
        self.deadline = deadline
        self._service = service
        self._answered: Answered | None = answered

    def cancel(self) -> None:
        """Nobody wants to know any more. Idempotent."""
        if self._answered is not None:
            self._answered = None
            self._service.over(self)
            self.stream.cancel()

    def settle(self, worker: int | None, outcome: Outcome) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            self._service.over(self, outcome)
            answered(worker)

    # StreamSink

    def on_frame(self, deltas: list[Advice]) -> None:
        self.settle(deltas[0].worker, "advised")

    def on_end(self) -> None:
        if self._answered is not None:
            self.on_error(StreamIncomplete("the router ended its answer before it began"))

    def on_error(self, error: DynamoError) -> None:
        if self._answered is not None:
            self._service.failed(error)
            self.settle(None, "lost" if isinstance(error, PlaneError) else "refused")


class _Rest(NamedTuple):
    until: float
    length_s: float


class RouterService:
    """The routers of a namespace as this frontend sees them. `counts`: requests by what came of asking.

    All frontends ask the same one of several, the others stand by. Who loses its connection, drains or is silent leaves
    the rotation as any instance of an endpoint does; who answers late rests besides, because it may answer pings well.
    """

    def __init__(self, router_id: str, limit_s: float = LIMIT_S, clock: Callable[[], float] = monotonic) -> None:
        self.router_id = router_id
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self._limit_s = limit_s
        self._clock = clock
        self._client: Client | None = None
        self._waiting: dict[Asked, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rests: dict[int, _Rest] = {}
        self._told = ""

    async def start(self, runtime: DistributedRuntime) -> None:
        """Follow the routers of the runtime's namespace, and keep connected to them."""
        endpoint = EndpointId(runtime.config.namespace, ROUTER, BEST_WORKER)
        client = await runtime.endpoint(endpoint).client(Advice)
        client.on_change(client.connect)
        self.use(client)
        client.connect()

    def use(self, client: Client) -> None:
        self._client = client

    async def close(self) -> None:
        for asked in list(self._waiting):
            asked.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._client is not None:
            await self._client.close()

    def instance(self) -> int | None:
        """Whom to ask now, if anybody. A request that finds nobody is counted."""
        found = self._find()
        if found is None:
            self.counts["absent"] += 1
        return found

    def asked_now(self) -> str:
        """The name of the router in rotation, "" for none."""
        found = self._find()
        return "" if found is None else f"{found:x}"

    def _find(self) -> int | None:
        rests = self._rests
        for instance in self._client.instance_ids() if self._client is not None else ():
            if not rests or instance not in rests or rests[instance].until <= self._clock():
                return instance
        return None

    def ask(self, instance: int, question: RoutingQuestion, answered: Answered) -> Asked | None:
        """Ask it; `answered` is called with a worker or with None, later. None: it cannot be asked."""
        assert self._client is not None
        asked = Asked(self, instance, self._clock() + self._limit_s, answered)
        try:
            asked.stream = self._client.send(question, instance, asked, question.request_id)
        except DynamoError:
            self.counts["lost"] += 1
            return None
        self._waiting[asked] = None
        if self._timer is None:
            self._look_in(self._limit_s)
        return asked

    def over(self, asked: Asked, outcome: Outcome | None = None) -> None:
        self._waiting.pop(asked, None)
        if outcome is not None:
            self.counts[outcome] += 1
            if outcome == "advised" and self._rests:
                self._rests.pop(asked.instance, None)

    def failed(self, error: DynamoError) -> None:
        """It says so itself; what will not pass by itself is said once."""
        log.debug("the router does not advise: %s", error)
        if isinstance(error, InvalidRequest) and str(error) != self._told:
            self._told = str(error)
            log.warning("this frontend routes by itself, the router does not take its questions: %s", error)

    def _look_in(self, seconds: float, again: bool = False) -> None:
        due = self._clock() + seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look, due, again)

    def _look(self, due: float, again: bool) -> None:
        """At the oldest question, for all of them have the same time. `again`: what had come is read by now."""
        self._timer = None
        now, oldest = self._clock(), next(iter(self._waiting), None)
        if oldest is not None and oldest.deadline <= now:
            if now > due + BUSY_S and not again:
                self._look_in(0.001, again=True)
                return
            self._late(oldest.instance, now)
            oldest = next(iter(self._waiting), None)
        if oldest is not None:
            self._look_in(max(0.001, oldest.deadline - now))

    def _late(self, instance: int, now: float) -> None:
        """It has to answer a ping before it is asked again; nobody else waits for it meanwhile."""
        before = self._rests.get(instance)
        length_s = REST_S if before is None else min(2 * before.length_s, LONGEST_REST_S)
        self._rests = {one: rest for one, rest in self._rests.items() if rest.until + LONGEST_REST_S > now}
        self._rests[instance] = _Rest(now + length_s, length_s)
        log.warning(
            "router %x has not answered in %g ms: this frontend routes by itself for %g s or until it answers pings",
            *(instance, self._limit_s * 1000, length_s),
        )
        assert self._client is not None
        self._client.report_down(instance)
        for asked in [asked for asked in self._waiting if asked.instance == instance]:
            stream = asked.stream
            asked.settle(None, "late")
            stream.cancel()


class ModelAsker:
    """Asks for one model's requests, in the words of the router that this frontend has for it."""

    def __init__(self, service: RouterService, placer: KvPlacer) -> None:
        self._service = service
        self._placer = placer

    def ask(
        self,
        request: EngineRequest,
        request_id: str,
        candidates: Sequence[int],
        hints: RoutingHints,
        answered: Answered,
    ) -> Asked | None:
        """`answered` is called later, unless this is None: then there is nobody to ask."""
        service, model = self._service, self._placer.model
        instance = service.instance()
        if instance is None:
            return None
        tokens, size = request.token_ids, self._placer.router.block_size
        question = RoutingQuestion(
            model=model.name,
            tokens=len(tokens),
            hashes=block_hashes(tokens, size, adapter=self._placer.adapter_of(request)),
            block_size=size,
            candidates=[] if len(candidates) == len(model.cards) else list(candidates),
            session=hints.session,
            expected_output=hints.expected_output,
            overlap_credit=hints.overlap_credit,
            temperature=hints.temperature,
            router=service.router_id,
            request_id=request_id,
            record=True,
        )
        return service.ask(instance, question, answered)
