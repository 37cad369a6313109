"""How single requests went, as a frontend remembers it: the answers of GET /requests and GET /requests/ID."""

from __future__ import annotations

import msgspec


class Candidate(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A worker that was weighed. `cost` is None when none was computed; tokens and blocks are counts."""

    worker: str
    worker_id: str
    cost: float | None = None
    overlap_blocks: int = 0
    prefill_tokens: int = 0
    blocks: int = 0
    requests: int = 0


class Attempt(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One worker that had the request, `after_s` after it came.

    `pinned`: the client named it. `advised`: the router process chose it. `bound`: its session had chosen it before.
    `candidates`: only in mode kv; `among`: how many there were. `spared`: workers in rotation that were left out as too
    busy. `prefills`: it was to compute the prompt for the next one. `left`: why it ended there too early, after
    `tokens` tokens.
    """

    worker: str
    worker_id: str
    after_s: float
    pinned: bool = False
    advised: bool = False
    bound: bool = False
    session: str = ""
    expected_output: int = 0
    overlap_credit: float | None = None
    temperature: float | None = None
    prompt_blocks: int = 0
    candidates: list[Candidate] = []
    among: int = 0
    spared: list[str] = []
    prefills: bool = False
    left: str = ""
    tokens: int = 0


class ExplainedRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`id` is that of the header, `answer_id` that in the answer. `began`: seconds since the epoch.

    `choices`: the attempts of each generated sequence. `problem`: the error type of an answer that is not whole.
    `status` is 0 while it runs.
    """

    id: str
    answer_id: str
    frontend: str
    router_mode: str
    kind: str
    model: str
    began: float
    running: bool = False
    streamed: bool = False
    status: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    ttft_s: float | None = None
    duration_s: float = 0.0
    finish: str = ""
    problem: str = ""
    choices: list[list[Attempt]] = []


class Remembered(msgspec.Struct, kw_only=True):
    """What one frontend remembers: `remembered` requests of at most `kept`, the oldest of `since`.

    `requests`: those that were asked for, the newest first.
    """

    frontend: str
    kept: int
    remembered: int = 0
    since: float | None = None
    requests: list[ExplainedRequest] = []
