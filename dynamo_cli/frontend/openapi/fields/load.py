"""Fields of busy thresholds and of conditional disaggregation."""

from __future__ import annotations

from dynamo_cli.frontend.openapi.fields.field import Field

BLOCKS = "A worker with a larger share of its KV blocks in use is busy."
TOKENS = "A worker with more prompt tokens still to be prefilled is busy."
FRACTION = "The same, as a multiple of the worker's `max_num_batched_tokens`."

POLICY = "What lets a decode worker compute a prompt: its length, the queues of prefill workers, or either."
ISL = "Fewer tokens than these to be computed are few."
RATIO = "So is less than this share of the prompt; both must be. Above 1: any share."
PREFILL_BUSY = "A prefill worker with so many steps of it before it is busy."
DECODE_BUSY = "A decode worker with more than this share of its KV blocks in use computes no prompts."
ANSWERS_AFTER = "Prefill workers that nobody needed for so many seconds answer short prompts until somebody does."
CONDITIONAL_CHANGE = {
    "model": Field("A model that is served here."),
    "enabled": Field("False: every prompt goes to a prefill worker, while there is one.", example=True),
    "policy": Field(POLICY, example="isl_or_load"),
    "eff_isl_threshold": Field(ISL, example=2048),
    "eff_isl_ratio_threshold": Field(RATIO, example=0.7),
    "prefill_busy_threshold": Field(PREFILL_BUSY, example=1.0),
    "decode_busy_threshold": Field(DECODE_BUSY, example=0.9),
    "prefill_answers_after_s": Field(ANSWERS_AFTER, example=10.0),
}
THRESHOLD_CHANGE = {
    "model": Field("A model that is served here."),
    "active_decode_blocks_threshold": Field(BLOCKS, example=0.9),
    "active_prefill_tokens_threshold": Field(TOKENS, example=20000),
    "active_prefill_tokens_threshold_frac": Field(FRACTION, example=1.5),
}
