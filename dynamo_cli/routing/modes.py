"""Router modes as the frontend offers them."""

from __future__ import annotations

import random

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


def make_dispatcher(
    model: RoutedModel,
    mode: str,
    migration: MigrationOptions,
    thresholds: Thresholds | None = None,
    kv: KvRoutingOptions | None = None,
    feed: KvFeed | None = None,
    shared: SharedSequences | None = None,
    service: RouterService | None = None,
) -> Dispatcher:
    """A dispatcher with a policy of its own; what follows `thresholds` is for mode kv.

    Raises UsageError for an unknown mode.
    """
    placer = _placer(model, mode, kv or KvRoutingOptions(), feed, shared)
    asker = ModelAsker(service, placer) if service is not None and isinstance(placer, KvPlacer) else None
    return Dispatcher(placer, migration, thresholds, asker)


def adapter_dispatcher(
    model: RoutedModel, base: Dispatcher, migration: MigrationOptions, thresholds: Thresholds | None = None
) -> Dispatcher:
    """Of an adapter, which shares all that is known of the workers with its base model."""
    return Dispatcher(AdapterPlacer(model, base.placer), migration, thresholds, base.asker)


def is_of_adapter(dispatcher: Dispatcher) -> bool:
    return isinstance(dispatcher.placer, AdapterPlacer)


def _placer(
    model: RoutedModel, mode: str, kv: KvRoutingOptions, feed: KvFeed | None, shared: SharedSequences | None
) -> Placer:
    if mode == "kv":
        return KvPlacer(model, kv, random.Random(), feed=feed, shared=shared)
    return PolicyPlacer(model, make_policy(mode, random.Random()))
