"""Router modes as the frontend offers them."""

from __future__ import annotations

import random

from dynamo_cli.router.policies import DEFAULT_MODE, MODES, check_mode, make_policy
from dynamo_cli.routing.dispatch import Dispatcher
from dynamo_cli.routing.migration import MigrationOptions
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.routing.thresholds import Thresholds

__all__ = ["DEFAULT_MODE", "MODES", "check_mode", "make_dispatcher"]


def make_dispatcher(
    model: RoutedModel, mode: str, migration: MigrationOptions, thresholds: Thresholds | None = None
) -> Dispatcher:
    """A dispatcher with a policy of its own. Raises UsageError for an unknown mode."""
    return Dispatcher(model, make_policy(mode, random.Random()), migration, thresholds)
