"""The mock's logprobs: like its tokens a pure function of all tokens so far, and such that they could be true."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dynamo_cli.protocol.engine import TokenLogprob
from dynamo_cli.workers.engines.mock.tokens import absorb, pick

_STEPS = 1 << 16


def logprobs_of(
    state: int, tokens: Sequence[int], vocabulary: Sequence[int], alternatives: int
) -> tuple[list[TokenLogprob], int]:
    """One for each of the tokens that came after `state`, and the state after them."""
    found = []
    for token in tokens:
        found.append(_logprob(state, token, vocabulary, alternatives))
        state = absorb(state, token)
    return found, state


def _logprob(state: int, token: int, vocabulary: Sequence[int], alternatives: int) -> TokenLogprob:
    """The chosen token is the likeliest, with 1/2 to 1; each alternative gets half of what is left."""
    chosen = 0.5 + pick(state ^ token, _STEPS) / _STEPS / 2
    top, rest = [(token, math.log(chosen))], 1 - chosen
    at = pick(state, len(vocabulary))
    while len(top) < min(alternatives, len(vocabulary)):
        at = (at + 1) % len(vocabulary)
        if vocabulary[at] != token:
            rest /= 2
            top.append((vocabulary[at], math.log(rest)))
    return TokenLogprob(token, math.log(chosen), top[:alternatives])
