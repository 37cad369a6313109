"""Which worker holds which prefix: heard from events, or guessed from what was routed."""

from dynamo_cli.router.index.approximate import ApproximateIndex
from dynamo_cli.router.index.blocks import BlockIndex
from dynamo_cli.router.index.tiers import NOTHING, EventIndex, Overlaps

__all__ = ["NOTHING", "ApproximateIndex", "BlockIndex", "EventIndex", "Overlaps"]
