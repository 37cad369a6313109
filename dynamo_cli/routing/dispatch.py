"""Sends a request to the instance the policy picks, and to another one when that is lost."""

from __future__ import annotations

from collections.abc import Collection

from dynamo_cli.errors import NoInstances, Overloaded
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.router.busy import is_busy, judges
from dynamo_cli.routing.asking import ModelAsker
from dynamo_cli.routing.flight import Flight, Outfit, Reader
from dynamo_cli.routing.hints import NO_HINTS, RoutingHints
from dynamo_cli.routing.migration import MigrationCounts, MigrationOptions
from dynamo_cli.routing.placing import Placer
from dynamo_cli.routing.prefilled_flight import PrefilledFlight
from dynamo_cli.routing.remote_prefill import RemotePrefill
from dynamo_cli.routing.silence import SilenceWatch
from dynamo_cli.routing.thresholds import Thresholds
from dynamo_cli.runtime.trail import Trail


class Dispatcher:
    """One model's requests. `inflight` counts them by instance id. `asker`: the router process is asked first.

    `remote`: its prefill workers, which compute prompts for the others.
    """

    def __init__(
        self,
        placer: Placer,
        options: MigrationOptions | None = None,
        thresholds: Thresholds | None = None,
        asker: ModelAsker | None = None,
        remote: RemotePrefill | None = None,
    ) -> None:
        self.placer = placer
        self.asker = asker
        self.remote = remote
        self.model = placer.model
        self.inflight = placer.inflight
        self.options = options or MigrationOptions()
        self.migrations = MigrationCounts()
        self.silence = SilenceWatch(self.options.silence_s)
        self._thresholds = thresholds or Thresholds()

    def send(
        self,
        request: EngineRequest,
        sink: Reader,
        *,
        request_id: str,
        instance_id: int | None = None,
        accepted: bool = False,
        trail: Trail | None = None,
        hints: RoutingHints = NO_HINTS,
        avoid: Collection[int] = (),
        outfit: Outfit | None = None,
    ) -> Flight:
        """Start a request without waiting; `instance_id` names the only instance to use.

        `accepted`: it is part of something that was begun, and is not refused because workers are busy.
        `avoid` these instances. `outfit`: what is different for each. Raises NoInstances when nobody can take it,
        Overloaded when all who could are busy, InvalidRequest when the policy wants an instance named, NotReady when it
        must be prefilled remotely and cannot be. Later errors go to the sink.
        """
        about = self, request, sink, request_id, instance_id, accepted, trail, hints, avoid, outfit
        remote = self.remote
        flight = Flight(*about) if remote is None or remote.dormant else PrefilledFlight(remote, *about)
        flight.launch(request)
        return flight

    def migrations_of(self, request: EngineRequest) -> MigrationCounts:
        """Where its moves count: those of a probe count nowhere."""
        return MigrationCounts() if request.probe else self.migrations

    def candidates(self, wanted: int | None, tried: set[int], needs: int, accepted: bool) -> list[int]:
        """The instances for the next attempt, whose contexts hold `needs` tokens. Raises NoInstances.

        Raises Overloaded when only busy ones are left, unless the request was `accepted`.
        """
        candidates = self.model.candidates
        if wanted is not None:
            if wanted in candidates and wanted not in tried:
                return self._spared([wanted], accepted)
            raise NoInstances(f"no worker {wanted:x} serves model {self.model.name} now")
        if tried:
            candidates = [one for one in self.model.with_room(needs) if one not in tried]
        if not candidates:
            raise NoInstances(f"no worker of model {self.model.name} can take the request now; try again soon")
        return self._spared(candidates, accepted)

    def _spared(self, candidates: list[int], accepted: bool) -> list[int]:
        """Without the busy ones, unless it was accepted and there is no other."""
        thresholds, model = self._thresholds.of(self.model.name), self.model
        if not judges(thresholds):
            return candidates
        idle = [one for one in candidates if not is_busy(thresholds, model.loads.of(one), model.capacity(one))]
        if idle or accepted:
            return idle or candidates
        raise Overloaded(f"all workers of model {model.name} that could take the request are busy; try again soon")
