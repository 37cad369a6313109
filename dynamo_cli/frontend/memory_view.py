"""GET /requests and GET /requests/ID on the admin socket: how the last requests went, and one of them."""

from __future__ import annotations

from collections.abc import Callable

from dynamo_cli.errors import RouteMissing
from dynamo_cli.frontend.memory import Entry, Memory
from dynamo_cli.protocol.explained import Attempt, Candidate, ExplainedRequest, Remembered
from dynamo_cli.routing.legs import Leg
from dynamo_cli.runtime.http.exchange import Exchange, Handler
from dynamo_cli.runtime.redact import redact

PATH = "/requests"
ONE_PATH = f"{PATH}/"
MOST = 50


class MemoryView:
    """`latest` and `find` are the handlers. `frontend` names this process."""

    def __init__(self, memory: Memory, frontend: str, router_mode: str) -> None:
        self._memory = memory
        self._frontend = frontend
        self._mode = router_mode

    def add_to(self, add: Callable[[str, str, Handler], None]) -> None:
        add("GET", PATH, self.latest)
        add("GET", ONE_PATH, self.find)

    def latest(self, exchange: Exchange) -> None:
        """Raises RouteMissing on the public port."""
        self._send(exchange, self._memory.latest(MOST))

    def find(self, exchange: Exchange) -> None:
        """By the whole id or its beginning. Raises RouteMissing on the public port."""
        self._send(exchange, self._memory.find(exchange.request.path.removeprefix(ONE_PATH), MOST))

    def _send(self, exchange: Exchange, entries: list[Entry]) -> None:
        if not exchange.request.trusted:
            raise RouteMissing(f"there is no {exchange.request.path} here")
        memory = self._memory
        exchange.send_json(
            Remembered(
                frontend=self._frontend,
                kept=memory.kept,
                remembered=len(memory),
                since=memory.since,
                requests=[self._explained(entry) for entry in entries],
            )
        )

    def _explained(self, entry: Entry) -> ExplainedRequest:
        usage = entry.usage
        return ExplainedRequest(
            id=redact(entry.id),
            answer_id=entry.answer_id,
            frontend=self._frontend,
            router_mode=self._mode,
            kind=entry.kind,
            model=entry.model,
            began=round(entry.at - entry.duration_s, 3),
            running=not entry.status,
            streamed=entry.streamed,
            status=entry.status,
            prompt_tokens=None if usage is None else usage.prompt,
            completion_tokens=None if usage is None else usage.completion,
            cached_tokens=None if usage is None else usage.cached,
            ttft_s=entry.first_token_s,
            duration_s=round(entry.duration_s, 6),
            finish=entry.finish,
            problem=entry.problem,
            choices=[[_attempt(leg, entry.began, first=not at) for at, leg in enumerate(legs)] for legs in entry.legs],
        )


def _attempt(leg: Leg, began: float, first: bool) -> Attempt:
    """Later attempts leave out those that were tried and those without room, too: they tell of no spared ones."""
    spared = set(leg.workers) - set(leg.candidates) if first and leg.named != "client" else set()
    weighed, hints = leg.weighed, leg.hints
    return Attempt(
        worker=leg.name_of(leg.worker),
        worker_id=f"{leg.worker:x}",
        after_s=round(leg.began - began, 6),
        pinned=leg.named == "client",
        advised=leg.named == "router",
        bound=not leg.named and weighed is not None and weighed.bound,
        session=hints.session,
        expected_output=hints.expected_output,
        overlap_credit=hints.overlap_credit,
        temperature=hints.temperature,
        prompt_blocks=0 if weighed is None else weighed.prompt_blocks,
        candidates=_candidates(leg),
        among=len(leg.candidates),
        spared=[leg.name_of(worker) for worker in sorted(spared)],
        prefills=leg.prefills,
        left=leg.left,
        tokens=leg.tokens,
    )


def _candidates(leg: Leg) -> list[Candidate]:
    return [
        Candidate(
            worker=leg.name_of(one.worker),
            worker_id=f"{one.worker:x}",
            cost=None if one.cost is None else round(one.cost, 1),
            overlap_blocks=one.overlap_blocks,
            prefill_tokens=one.prefill_tokens,
            blocks=one.blocks,
            requests=one.requests,
        )
        for one in (leg.weighed.standings() if leg.weighed is not None else ())
    ]
