"""Which worker holds which prefix: heard from events, or guessed from what was routed."""

from dynamo_cli.router.index.approximate import CACHE_POLICIES, ApproximateIndex, CachePolicy
from dynamo_cli.router.index.blocks import BlockIndex
from dynamo_cli.router.index.tiers import NOTHING, EventIndex, Overlaps

__all__ = ["CACHE_POLICIES", "NOTHING", "ApproximateIndex", "BlockIndex", "CachePolicy", "EventIndex", "Overlaps"]
