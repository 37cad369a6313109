"""The [router] table as words on the command line of a frontend or a router process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from dynamo_cli.topology.parts import Router

_BUSY = {
    "active_decode_blocks_threshold": "--active-decode-blocks-threshold",
    "active_prefill_tokens_threshold": "--active-prefill-tokens-threshold",
    "active_prefill_tokens_threshold_frac": "--active-prefill-tokens-threshold-frac",
}
_VALUES = {
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
    if router.replicas:
        yield "--router-service"
    yield from _given(router, _BUSY)
    if router.enforce_disagg is not None:
        yield "--enforce-disagg" if router.enforce_disagg else "--no-enforce-disagg"
    conditional = router.conditional_disagg
    if conditional is not None:
        given = {name: value for name, value in msgspec.structs.asdict(conditional).items() if value is not None}
        yield "--router-conditional-disagg"
        if given:
            yield from ("--router-conditional-disagg-config", msgspec.json.encode(given).decode())
    yield from kv_flags(router)


def kv_flags(router: Router) -> Iterator[str]:
    """What the file says of mode kv, for frontends and router processes alike."""
    yield from _given(router, _VALUES)
    for key, name in _SWITCHES.items():
        value = getattr(router, key)
        if value is not None:
            yield f"--{name}" if value else f"--no-{name}"


def _given(router: Router, flags: Mapping[str, str]) -> Iterator[str]:
    for key, flag in flags.items():
        value = getattr(router, key)
        if value is not None:
            yield from (flag, value if isinstance(value, str) else repr(value))
