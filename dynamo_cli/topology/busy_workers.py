"""When workers are busy: the options of it on a frontend's command line."""

from __future__ import annotations

from collections.abc import Iterator

from dynamo_cli.topology.parts import Router


def busy_options(router: Router) -> Iterator[str]:
    """The words of a command line."""
    thresholds = {
        "--active-decode-blocks-threshold": router.active_decode_blocks_threshold,
        "--active-prefill-tokens-threshold": router.active_prefill_tokens_threshold,
        "--active-prefill-tokens-threshold-frac": router.active_prefill_tokens_threshold_frac,
    }
    for flag, threshold in thresholds.items():
        yield from (flag, repr(threshold)) if threshold is not None else ()
