from __future__ import annotations

from collections.abc import Sequence

import msgspec


class TracedRequest(msgspec.Struct, frozen=True, gc=False):
    """One request of a trace, without its text. Lengths in tokens.

    `timestamp_s`: of the trace's own time, which begins anywhere from 0 on. `blocks`: an id for each `block_size`
    tokens of the prompt from its beginning on, of which the last may be fewer: equal ids are equal text. What no id
    stands for is unique. `model`, `adapter` and `session` are empty when the trace does not tell.
    """

    timestamp_s: float
    input_length: int
    output_length: int
    blocks: Sequence[int]
    block_size: int
    model: str = ""
    adapter: str = ""
    session: str = ""


def fault(request: TracedRequest) -> str:
    """Why nobody can have sent it; empty for a sound one."""
    if request.input_length < 1:
        return f"input_length {request.input_length} is not at least 1"
    if request.output_length < 0:
        return f"output_length {request.output_length} is negative"
    if request.block_size < 1:
        return f"a block size of {request.block_size} tokens is not at least 1"
    if (len(request.blocks) - 1) * request.block_size >= request.input_length:
        ids = f"{len(request.blocks)} hash_ids of {request.block_size} tokens"
        return f"{ids} are more than input_length {request.input_length}"
    return ""
