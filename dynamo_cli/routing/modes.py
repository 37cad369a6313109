"""Router modes as the frontend offers them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from dynamo_cli.disagg.conditional import ConditionalDisagg
from dynamo_cli.disagg.options import DEFAULT as DEFAULT_DISAGG
from dynamo_cli.disagg.options import DisaggOptions
from dynamo_cli.router.index import CACHE_POLICIES
from dynamo_cli.router.policies import DEFAULT_MODE, KV_POLICIES, MODES, check_mode, make_policy
from dynamo_cli.routing.adapter_placing import AdapterPlacer
from dynamo_cli.routing.asking import ModelAsker, RouterService
from dynamo_cli.routing.dispatch import Dispatcher
from dynamo_cli.routing.kv_feed import KvFeed
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.kv_placing import KvPlacer
from dynamo_cli.routing.migration import MigrationOptions
from dynamo_cli.routing.placing import Placer, PolicyPlacer
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.routing.remote_prefill import RemotePrefill
from dynamo_cli.routing.shared_sequences import SharedSequences
from dynamo_cli.routing.thresholds import Thresholds

__all__ = [
    "CACHE_POLICIES",
    "DEFAULT_MODE",
    "KV_POLICIES",
    "MODES",
    "adapter_dispatcher",
    "check_mode",
    "is_of_adapter",
    "make_dispatcher",
]


class Disagg(NamedTuple):
    """`conditional`, of a model's name: what counts now, instead of what the options say."""

    options: DisaggOptions = DEFAULT_DISAGG
    conditional: Callable[[str], ConditionalDisagg | None] | None = None


def make_dispatcher(
    model: RoutedModel,
    mode: str,
    migration: MigrationOptions,
    thresholds: Thresholds | None = None,
    kv: KvRoutingOptions | None = None,
    feed: KvFeed | None = None,
    shared: SharedSequences | None = None,
    service: RouterService | None = None,
    disagg: Disagg | None = None,
) -> Dispatcher:
    """A dispatcher with a policy of its own; `kv` and what follows up to `disagg` is for mode kv.

    Raises UsageError for an unknown mode.
    """
    placer = _placer(model, mode, kv or KvRoutingOptions(), feed, shared)
    asker = ModelAsker(service, placer) if service is not None and isinstance(placer, KvPlacer) else None
    remote = None
    if model.prefill is not None:
        placer_of_prefill = _placer(model.prefill, *_for_prefill(mode, kv or KvRoutingOptions()), feed, shared)
        remote = _remote(placer_of_prefill, migration, thresholds, disagg or Disagg())
    return Dispatcher(placer, migration, thresholds, asker, remote)


def adapter_dispatcher(
    model: RoutedModel,
    base: Dispatcher,
    migration: MigrationOptions,
    thresholds: Thresholds | None = None,
    disagg: Disagg | None = None,
) -> Dispatcher:
    """Of an adapter, which shares all that is known of the workers with its base model."""
    remote = None
    if model.prefill is not None and base.remote is not None:
        placer = AdapterPlacer(model.prefill, base.remote.dispatcher.placer)
        remote = _remote(placer, migration, thresholds, disagg or Disagg())
    return Dispatcher(AdapterPlacer(model, base.placer), migration, thresholds, base.asker, remote)


def is_of_adapter(dispatcher: Dispatcher) -> bool:
    return isinstance(dispatcher.placer, AdapterPlacer)


def _for_prefill(mode: str, kv: KvRoutingOptions) -> tuple[str, KvRoutingOptions]:
    """Nobody stays there: blocks in use are no reason for or against a worker. Clients name those that decode."""
    options = replace(kv, track_active_blocks=False, track_output_blocks=False)
    return (DEFAULT_MODE if mode == "direct" else mode), options


def _remote(
    placer: Placer, migration: MigrationOptions, thresholds: Thresholds | None, disagg: Disagg
) -> RemotePrefill:
    """A prefill that is lost can always begin anew: nobody has seen anything of it."""
    given_up = [seconds for seconds in (migration.silence_s, disagg.options.prefill_timeout_s) if seconds]
    options = MigrationOptions(max(1, migration.limit), None, min(given_up, default=0.0))
    return RemotePrefill(Dispatcher(placer, options, thresholds), disagg.options, disagg.conditional)


def _placer(
    model: RoutedModel, mode: str, kv: KvRoutingOptions, feed: KvFeed | None, shared: SharedSequences | None
) -> Placer:
    if mode == "kv":
        return KvPlacer(model, kv, random.Random(), feed=feed, shared=shared)
    return PolicyPlacer(model, make_policy(mode, random.Random()))
