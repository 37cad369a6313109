"""The [router] table as words on a frontend's command line."""

from __future__ import annotations

from collections.abc import Iterator

from dynamo_cli.topology.parts import Router

_VALUES = {
    "active_decode_blocks_threshold": "--active-decode-blocks-threshold",
    "active_prefill_tokens_threshold": "--active-prefill-tokens-threshold",
    "active_prefill_tokens_threshold_frac": "--active-prefill-tokens-threshold-frac",
    "policy": "--router-kv-policy",
    "overlap_score_credit": "--router-kv-overlap-score-credit",
    "temperature": "--router-temperature",
    "ttl_s": "--router-ttl-secs",
    "max_tree_size": "--router-max-tree-size",
    "prune_target_ratio": "--router-prune-target-ratio",
    "predicted_ttl_s": "--router-predicted-ttl-secs",
    "session_affinity_ttl_s": "--router-session-affinity-ttl-secs",
    "session_affinity_mode": "--router-session-affinity-mode",
}
_SWITCHES = {
    "kv_events": "router-kv-events",
    "track_active_blocks": "router-track-active-blocks",
    "track_output_blocks": "router-track-output-blocks",
    "replica_sync": "router-replica-sync",
}


def router_flags(router: Router) -> Iterator[str]:
    """The mode, and what the file says beside it: the frontend knows the defaults."""
    yield from ("--router-mode", router.mode)
    for key, flag in _VALUES.items():
        value = getattr(router, key)
        if value is not None:
            yield from (flag, value if isinstance(value, str) else repr(value))
    for key, name in _SWITCHES.items():
        value = getattr(router, key)
        if value is not None:
            yield f"--{name}" if value else f"--no-{name}"
