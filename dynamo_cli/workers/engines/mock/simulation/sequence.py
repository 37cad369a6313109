"""One sequence on its way through the simulator."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Tokens
from typing import Any, Literal

from dynamo_cli.protocol.kv import SEED, adapter_seed, block_hashes, chain, local_hashes

Phase = Literal["new", "waiting", "receiving", "prefilling", "decoding", "kept", "done"]


class Sequence:
    """A prompt of `prompt_tokens` and `max_tokens` to generate; `owner` is whatever the caller wants to find again.

    `names` are those of the prompt's full blocks, in order. `tail`: the tokens after them, to which the caller appends
    each generated one before the next step. Without a tail the tokens are not known, and the blocks filled from there
    on get names of their own. (Some traces name a last, partial block too: leave that out, it cannot be found.)
    Raises ValueError for counts below 1.

    `remote`: the KV of its prompt comes from elsewhere, see Simulator.received. `keeps`: it has its blocks until it is
    ended, also when it has all its tokens.

    The times are the simulator's: None until then.
    """

    __slots__ = (
        "cached_tokens",
        "computed",
        "due",
        "finished_at",
        "first_token_at",
        "generated",
        "held",
        "keeps",
        "max_tokens",
        "named",
        "names",
        "order",
        "owner",
        "phase",
        "preempted_at",
        "prompt_tokens",
        "remote",
        "seed",
        "start",
        "tail",
    )

    def __init__(
        self,
        prompt_tokens: int,
        max_tokens: int,
        names: Tokens[int] = (),
        tail: Tokens[int] | None = None,
        owner: Any = None,
    ) -> None:
        if prompt_tokens < 1 or max_tokens < 1:
            raise ValueError(f"a sequence of {prompt_tokens} prompt tokens and {max_tokens} to generate")
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        self.names = list(names)
        self.tail = None if tail is None else list(tail)
        self.owner = owner
        self.remote = False
        self.keeps = False
        self.phase: Phase = "new"
        self.generated = 0
        """Tokens so far; while it decodes, ask the simulator."""
        self.cached_tokens = 0
        """Prompt tokens found in the cache when it was first admitted."""
        self.first_token_at: float | None = None
        self.finished_at: float | None = None
        self.preempted_at: float | None = None
        self.computed = 0
        """Tokens whose KV is there; while it decodes, all but the last."""
        self.held = 0
        """Blocks it uses, of which the first `named` can be found."""
        self.named = 0
        self.order = 0
        self.start = 0
        self.due = 0
        self.seed = SEED
        """Of the names of its blocks."""

    @classmethod
    def of_tokens(
        cls, token_ids: Tokens[int], max_tokens: int, block_size: int, owner: Any = None, adapter: str = ""
    ) -> Sequence:
        """One whose tokens are known."""
        names = block_hashes(token_ids, block_size, adapter=adapter)
        sequence = cls(len(token_ids), max_tokens, names, token_ids[len(names) * block_size :], owner)
        sequence.seed = adapter_seed(adapter)
        return sequence

    @property
    def known(self) -> int:
        """Tokens there are, prompt and generated; not while it decodes."""
        return self.prompt_tokens + self.generated

    @property
    def to_compute(self) -> int:
        """Tokens whose KV it needs and does not get from elsewhere, before it is admitted."""
        return 0 if self.remote else self.known

    def names_between(self, first: int, end: int, block_size: int, new_name: Callable[[], int]) -> list[int]:
        """The names of these full blocks, of which the last may still have none."""
        while len(self.names) < end:
            self.names.append(new_name() if self.tail is None else self._hash_next(self.tail, block_size))
        return self.names[first:end]

    def _hash_next(self, tail: list[int], block_size: int) -> int:
        block = local_hashes(tail[:block_size], block_size, seed=self.seed)
        del tail[:block_size]
        return chain(block, self.names[-1] if self.names else None)[0]
