"""Fields of busy thresholds."""

from __future__ import annotations

from dynamo_cli.frontend.openapi.fields.field import Field

BLOCKS = "A worker with a larger share of its KV blocks in use is busy."
TOKENS = "A worker with more prompt tokens still to be prefilled is busy."
FRACTION = "The same, as a multiple of the worker's `max_num_batched_tokens`."

THRESHOLD_CHANGE = {
    "model": Field("A model that is served here."),
    "active_decode_blocks_threshold": Field(BLOCKS, example=0.9),
    "active_prefill_tokens_threshold": Field(TOKENS, example=20000),
    "active_prefill_tokens_threshold_frac": Field(FRACTION, example=1.5),
}
