"""When a decode worker computes a prompt itself although there are prefill workers. The names are the reference's.

Sending a prompt away costs a queue, a transfer and a second worker's attention; it saves the streams that run at the
decode worker a stall. For a prompt of which little is left to compute the first is more than the second.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

ConditionalPolicy = Literal["isl_bounding", "prefill_load", "isl_or_load"]
CONDITIONAL_POLICIES: tuple[ConditionalPolicy, ...] = ("isl_bounding", "prefill_load", "isl_or_load")


class ConditionalDisagg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`policy`: what lets a prompt be computed locally.

    isl_bounding: fewer than `eff_isl_threshold` tokens, and less than `eff_isl_ratio_threshold` of the prompt, are to
    be computed (a ratio above 1 is no bound); prefill_load: the prefill worker has `prefill_busy_threshold` times the
    tokens of one of its steps, or more, before it; isl_or_load: either. But while the decode worker has more than
    `decode_busy_threshold` of its KV blocks in use, it computes nothing that can be computed elsewhere.

    `prefill_answers_after_s`: prefill workers to which no prompt was sent for so long answer prompts that stay local
    too, where they have less to do than those that decode; None is never.
    """

    policy: ConditionalPolicy = "isl_bounding"
    eff_isl_threshold: Annotated[int, Meta(ge=0, le=2**53)] = 2048
    eff_isl_ratio_threshold: Annotated[float, Meta(ge=0)] = 0.7
    prefill_busy_threshold: Annotated[float, Meta(ge=0)] = 1.0
    decode_busy_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    prefill_answers_after_s: Annotated[float, Meta(ge=0)] | None = None


class Outlook(NamedTuple):
    """What there is to know of one prompt. `found`: of its `tokens`, those that the decode worker has in its cache.

    `prefill_queue`: what is before the prefill worker, in steps of it; `decode_usage`: the share of its KV blocks that
    the decode worker uses.
    """

    tokens: int
    found: int = 0
    prefill_queue: float = 0.0
    decode_usage: float = 0.0


def stays_local(options: ConditionalDisagg, outlook: Outlook) -> bool:
    """Whether the decode worker is to compute the prompt itself."""
    veto = options.decode_busy_threshold
    if veto is not None and outlook.decode_usage > veto:
        return False
    short, waits = _is_short(options, outlook), outlook.prefill_queue >= options.prefill_busy_threshold
    if options.policy == "isl_bounding":
        return short
    return waits if options.policy == "prefill_load" else short or waits


def burden(prompt_tokens: int, blocks: int, block_size: int) -> int:
    """How much a worker has to do, in KV blocks, as the reference's router weighs it: those of the `prompt_tokens` that
    are to be computed there, and those in use."""
    return blocks + (-(-prompt_tokens // block_size) if block_size else 0)


def _is_short(options: ConditionalDisagg, outlook: Outlook) -> bool:
    left = max(0, outlook.tokens - outlook.found)
    ratio = left / outlook.tokens if outlook.tokens else 0.0
    return left < options.eff_isl_threshold and ratio < options.eff_isl_ratio_threshold
