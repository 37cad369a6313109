"""What the frontends know of the workers, as one truth; and what of it is wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dynamo_cli.protocol.routing_view import (
    KnownModel,
    KnownWorker,
    PrefillCounts,
    RouterFrontend,
    RouterView,
    RoutingStatus,
    WorkerRouting,
)

LESS_KNOWN, FEW_BLOCKS = 0.9, 32
"""A frontend knows fewer blocks than another one when it misses more than a tenth, and more than so many."""
Views = Mapping[str, RouterView]


def routing_status(deployment: str, views: Views, problems: Mapping[str, str]) -> RoutingStatus:
    """`views` by frontend; `problems`: those that did not answer, and why."""
    names = {view.router: name for name, view in views.items()}
    frontends = [
        RouterFrontend(
            name=name,
            mode=view.mode,
            router=view.router,
            asks=view.asks is not None and bool(view.asks.router),
            knows=[names.get(router, router) for router, whole in view.routers.items() if whole],
        )
        for name, view in views.items()
    ] + [RouterFrontend(name=name, problem=problem) for name, problem in problems.items()]
    models = _models(views)
    return RoutingStatus(
        deployment=deployment,
        frontends=sorted(frontends, key=lambda frontend: frontend.name),
        block_sizes={name: sizes for name, known in models.items() if (sizes := _block_size(known))},
        workers=[
            worker
            for name, known in models.items()
            for worker in sorted(_workers(name, known, views), key=lambda one: (one.worker, one.worker_id))
        ],
        prefills=_prefills(views),
        notes=[*_silent(problems), *complaints(views), *_differences(views)],
    )


def complaints(views: Views) -> list[str]:
    """Workers that cannot be found, reached or believed, and what helps; each said once."""
    found: dict[str, list[str]] = {}
    for name, view in views.items():
        if view.asks is not None and not view.asks.router:
            found.setdefault("no router process answers: frontends choose by themselves", []).append(name)
        for service, unseen in view.unseen.items():
            found.setdefault(f"{service}: {unseen.words}", []).append(name)
        for model in view.models.values():
            for worker_id, worker in model.workers.items():
                if worker.blind:
                    found.setdefault(f"{worker.service or worker_id}: {worker.hint}", []).append(name)
    return [
        words if len(by) == len(views) else f"{words} (so says {', '.join(by)})" for words, by in sorted(found.items())
    ]


def _silent(problems: Mapping[str, str]) -> list[str]:
    return [f"{name} tells nothing: {problem}" for name, problem in sorted(problems.items())]


def _differences(views: Views) -> Iterator[str]:
    """Where one frontend knows less than the others."""
    if len(views) < 2:
        return
    for model, known in _models(views).items():
        for worker_id in _ids(known):
            seen = {name: one.workers[worker_id] for name, one in known.items() if worker_id in one.workers}
            label = _label(list(seen.values()), worker_id)
            for name in views.keys() - seen.keys():
                yield f"{name} does not know {label} of model {model}"
            most = max(one.blocks_known for one in seen.values())
            for name, one in seen.items():
                if one.blocks_known < LESS_KNOWN * most and most - one.blocks_known > FEW_BLOCKS:
                    yield f"{name} knows {one.blocks_known} of the {most} blocks that are known of {label}"
    shares = {name for name, view in views.items() if view.mode == "kv" and sum(view.routers.values()) < len(views) - 1}
    if shares:
        yield f"{', '.join(sorted(shares))}: not all that other frontends have in flight is known there"


def _models(views: Views) -> dict[str, dict[str, KnownModel]]:
    """By model and frontend."""
    models: dict[str, dict[str, KnownModel]] = {}
    for name, view in views.items():
        for model, known in view.models.items():
            models.setdefault(model, {})[name] = known
    return dict(sorted(models.items()))


def _prefills(views: Views) -> dict[str, PrefillCounts]:
    found: dict[str, PrefillCounts] = {}
    for view in views.values():
        for model, counts in view.prefills.items():
            found[model] = found.get(model, PrefillCounts()) + counts
    return dict(sorted(found.items()))


def _ids(known: Mapping[str, KnownModel]) -> list[str]:
    return sorted({worker for model in known.values() for worker in model.workers})


def _block_size(known: Mapping[str, KnownModel]) -> int:
    return max(model.block_size for model in known.values())


def _workers(model: str, known: Mapping[str, KnownModel], views: Views) -> Iterator[WorkerRouting]:
    by_blocks = _block_size(known) > 0
    for worker_id in _ids(known):
        seen = {name: one.workers[worker_id] for name, one in known.items() if worker_id in one.workers}
        each = list(seen.values())
        tokens = sum(one.prompt_tokens for one in each)
        requests, queued = _in_flight({views[name].router: one for name, one in seen.items()})
        found = WorkerRouting(
            model=model,
            worker=_label(each, worker_id),
            worker_id=worker_id,
            requests=requests if by_blocks else sum(one.requests for one in each),
        )
        if by_blocks:
            found.total_blocks = max(one.total_blocks for one in each)
            found.blocks_known = max(one.blocks_known for one in each)
            found.hit = sum(one.found_tokens for one in each) / tokens if tokens else None
            found.active_blocks = max(one.active_blocks for one in each)
            found.queued_tokens = queued
            found.routed = sum(one.routed for one in each)
            found.blind = next((one.blind for one in each if one.blind), "")
        yield found


def _in_flight(by_router: Mapping[str, KnownWorker]) -> tuple[int, int]:
    """Requests and queued tokens: each router's own word counts, of one that is silent what others know."""
    shares = {router: one.by_router[router] for router, one in by_router.items() if router in one.by_router}
    for one in by_router.values():
        for router, share in one.by_router.items():
            if router not in by_router:
                shares.setdefault(router, share)
    return sum(share.requests for share in shares.values()), sum(share.queued_tokens for share in shares.values())


def _label(each: Sequence[KnownWorker], worker_id: str) -> str:
    return next((one.service for one in each if one.service), worker_id)
