"""A router process's metrics, named as those of the routers inside frontends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dynamo_cli.routing.service.adviser import ModelAdviser

_ROUTER = "dynamo_component_router"


def metrics(advisers: Mapping[str, ModelAdviser], asked: Mapping[str, int]) -> bytes:
    """In Prometheus' text format. `asked`: questions by endpoint."""
    return "".join(f"{line}\n" for line in _lines(advisers, asked)).encode()


def _lines(advisers: Mapping[str, ModelAdviser], asked: Mapping[str, int]) -> Iterator[str]:
    yield "# TYPE dynamo_component_requests_total counter"
    for endpoint, count in asked.items():
        yield f'dynamo_component_requests_total{{endpoint="{endpoint}"}} {count}'
    figures = {name: _figures(adviser) for name, adviser in advisers.items()}
    for family, kind in _KINDS.items():
        yield f"# TYPE {family} {kind}"
        for model, of_model in figures.items():
            yield f'{family}{{model="{_escaped(model)}"}} {of_model[family]}'


_KINDS = {
    f"{_ROUTER}_requests_total": "counter",
    f"{_ROUTER}_kv_selected_cached_prefix_tokens_total": "counter",
    f"{_ROUTER}_kv_best_eligible_cached_prefix_tokens_total": "counter",
    f"{_ROUTER}_non_max_overlap_selections_total": "counter",
    f"{_ROUTER}_unconfirmed_requests": "gauge",
    f"{_ROUTER}_expired_requests_total": "counter",
    f"{_ROUTER}_active_requests": "gauge",
}


def _figures(adviser: ModelAdviser) -> dict[str, int]:
    counts = adviser.placer.counts
    values = (
        counts.requests,
        counts.selected_tokens,
        counts.best_tokens,
        counts.missed,
        len(adviser.unconfirmed),
        adviser.unconfirmed.expired,
        sum(adviser.placer.router.active.requests.values()),
    )
    return dict(zip(_KINDS, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
