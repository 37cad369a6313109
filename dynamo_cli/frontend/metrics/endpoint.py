"""GET /metrics: the public port tells of all frontends of the deployment, an admin socket of its own process."""

from __future__ import annotations

import msgspec

from dynamo_cli.errors import RouteMissing
from dynamo_cli.frontend.metrics.collect import collect
from dynamo_cli.frontend.metrics.kept import Kept
from dynamo_cli.frontend.metrics.loop_delay import LoopDelay
from dynamo_cli.frontend.metrics.samples import Samples, add, added_up, decode, encode
from dynamo_cli.frontend.metrics.text import DEFAULT_PREFIX, write
from dynamo_cli.frontend.models import Models
from dynamo_cli.frontend.peers import PeerAnswer, Peers
from dynamo_cli.frontend.unseen import Unseen
from dynamo_cli.runtime.admin import PROMETHEUS_TEXT
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.http.later import later

ALL_PATH = "/metrics/deployment"
"""What the supervisor asks one of them for: all that the public port tells."""
COUNTS_PATH = "/counts"
"""What frontends ask each other for, on admin sockets alone."""


class MetricsEndpoint:
    """Call `start` when the admin socket's directory is there, and `close` when nothing is counted any more."""

    def __init__(self, models: Models, peers: Peers, kept: Kept, unseen: Unseen, prefix: str) -> None:
        self._models = models
        self._peers = peers
        self._kept = kept
        self._unseen = unseen
        self._prefix = prefix
        self._loop = LoopDelay()
        self._before: Samples = {}
        self._of_all = later(lambda exchange: self._tell_of_all(exchange, prefix))
        self._of_all_plainly = later(lambda exchange: self._tell_of_all(exchange, DEFAULT_PREFIX))

    def start(self) -> None:
        """Go on where the process before this one, of the same name, was last seen."""
        self._before = self._kept.read()
        self._loop.start()

    def close(self) -> None:
        self._loop.close()
        self._shown()

    def metrics(self, exchange: Exchange) -> None:
        if exchange.request.trusted:
            _send(exchange, write(self._own(), self._prefix))
        else:
            self._of_all(exchange)

    def of_deployment(self, exchange: Exchange) -> None:
        """Of all frontends, by the names that they have without options. Raises RouteMissing on the public port."""
        _check(exchange)
        self._of_all_plainly(exchange)

    def counts(self, exchange: Exchange) -> None:
        """Raises RouteMissing on the public port."""
        _check(exchange)
        exchange.send(200, encode(self._shown()), b"application/msgpack")

    async def _tell_of_all(self, exchange: Exchange, prefix: str) -> None:
        answers = await self._peers.ask("GET", COUNTS_PATH)
        _send(exchange, write(self._total(answers), prefix))

    def _total(self, answers: list[PeerAnswer]) -> Samples:
        """Of one that gave no answer counts what it told before, as of those that are gone."""
        parts = dict.fromkeys(self._kept.others()) | {answer.peer.counts_file: _decoded(answer) for answer in answers}
        told = [self._kept.read(file) if part is None else part for file, part in sorted(parts.items())]
        total = added_up([self._shown(), *told])
        add(total, "scrape_up", (self._peers.own.name,), 1)
        for answer in answers:
            add(total, "scrape_up", (answer.peer.name,), int(parts[answer.peer.counts_file] is not None))
        return total

    def _shown(self) -> Samples:
        """This frontend's part for others to see: its own and that of the processes before it."""
        samples = added_up([self._own(), self._before])
        self._kept.write(samples)
        return samples

    def _own(self) -> Samples:
        return collect(self._models, self._loop, self._unseen, self._peers.own.name)


def _check(exchange: Exchange) -> None:
    if not exchange.request.trusted:
        raise RouteMissing(f"there is no {exchange.request.path} here")


def _decoded(answer: PeerAnswer) -> Samples | None:
    try:
        return decode(answer.body) if answer.status == 200 else None
    except msgspec.MsgspecError:
        return None


def _send(exchange: Exchange, text: bytes) -> None:
    exchange.send(200, text, PROMETHEUS_TEXT)
