"""The state of a service before it starts, and of a deployment from those of its services. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from dynamo_cli.runtime.control import DeploymentState, ServiceStatus
from dynamo_cli.topology.process import ProcessSpec

OVER = ("FAILED", "STOPPED")
"""States in which a service stays until somebody acts."""


def pending(spec: ProcessSpec) -> ServiceStatus:
    """What is known of a service that was never started."""
    return ServiceStatus(
        name=spec.name, kind=spec.kind, role=spec.role, pool=spec.pool, replica=spec.replica, **described(spec)
    )


def described(spec: ProcessSpec) -> dict[str, Any]:
    """What its status says of a spec that may become another one while the service stays."""
    return {
        "engine": spec.engine,
        "model": spec.model,
        "ports": spec.ports,
        "gpus": [gpu.uuid for gpu in spec.gpus],
    }


class Verdict(NamedTuple):
    state: DeploymentState
    reason: str = ""


def judge(
    services: Sequence[ServiceStatus], models: Sequence[str], answering: Collection[str], was_ready: bool
) -> Verdict:
    """READY when all services are and every model has answered; FAILED when nothing can serve any more.

    `answering`: the models that gave a token since the last change. `was_ready`: it has been READY before.
    """
    services = [s for s in services if not _finished(s) and not _beside(s)]
    lost = lost_causes(services, models)
    if lost and (not was_ready or len(lost) == _causes(services, models)):
        return Verdict("FAILED", lost[0])
    troubled = [s for s in services if not s.ready]
    if not troubled and all(model in answering for model in models):
        return Verdict("READY")
    serving = bool(answering and troubled) and all(s.state in OVER for s in troubled)
    if was_ready or serving:
        return Verdict("DEGRADED", describe(troubled) or _unanswered(models, answering))
    return Verdict("STARTING", describe(troubled) or _unanswered(models, answering))


def lost_causes(services: Sequence[ServiceStatus], models: Sequence[str]) -> list[str]:
    """Why each model (or without models all workers, or without workers all services) that can never serve cannot."""
    lost = []
    for group in _groups(services, models):
        if group and all(s.state in OVER and not s.by_hand for s in group):
            first = group[0]
            lost.append(f"{first.name}: {first.reason}")
    return lost


def describe(troubled: Sequence[ServiceStatus]) -> str:
    """The services that are not ready, worst first, in one line."""
    order = {"FAILED": 0, "BACKOFF": 1, "STOPPED": 2}
    ranked = sorted(troubled, key=lambda s: order.get(s.state, 3))
    return "; ".join(f"{s.name}: {s.reason or s.state.lower()}" for s in ranked[:3]) + (
        f"; and {len(ranked) - 3} more" if len(ranked) > 3 else ""
    )


def _groups(services: Sequence[ServiceStatus], models: Sequence[str]) -> list[list[ServiceStatus]]:
    frontends = [s for s in services if s.kind == "frontend"]
    if frontends and all(s.state in OVER for s in frontends):
        return [frontends] * max(1, len(models))
    workers = [s for s in services if s.kind == "worker"]
    if models:
        return [[s for s in workers if s.model == model] for model in models]
    return [workers or [s for s in services if s.kind == "service"]]


def _finished(service: ServiceStatus) -> bool:
    """A task that did its work and ended: nothing is missing."""
    return service.kind == "service" and service.done


def _beside(service: ServiceStatus) -> bool:
    """One that is not to serve yet, or not any more: nothing is missing without it."""
    return service.leaving or (bool(service.replaces) and not service.ready)


def _causes(services: Sequence[ServiceStatus], models: Sequence[str]) -> int:
    return len(_groups(services, models))


def _unanswered(models: Sequence[str], answering: Collection[str]) -> str:
    silent = [model for model in models if model not in answering]
    return f"waiting for a first token of {silent[0]}" if silent else ""
