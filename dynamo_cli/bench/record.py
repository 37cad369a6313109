"""What the client saw of one request: one line of requests.jsonl."""

from __future__ import annotations

import msgspec


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Times are milliseconds; `due_ms` and `sent_ms` since the run began.

    `point`: the label of the load level it belongs to. `due_ms`: when the schedule wanted it sent; equal to `sent_ms`
    in a closed loop. `e2e_ms`, `ttft_ms`: since it was sent. `itl_ms`: the time before each token after the first, the
    gap before a chunk shared by the tokens it carried. `chunk_ms`: the gap before each chunk after the first.
    `tokens_from`: "usage" for the server's own count, "chunks" when it gave none. `session` and `turn` number a
    conversation of several turns. `worker`: the instance that answered, when the server tells. `error` is empty for a
    complete answer; a request that was cancelled on purpose is neither complete nor an error.
    """

    id: int
    due_ms: float
    sent_ms: float
    e2e_ms: float
    point: str = ""
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    itl_ms: list[float] = []
    chunk_ms: list[float] = []
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    requested_tokens: int = 0
    tokens_from: str = "usage"
    session: int = 0
    turn: int = 0
    worker: str = ""
    error: str = ""
    detail: str = ""
    cancelled: bool = False

    @property
    def ok(self) -> bool:
        return not self.error and not self.cancelled

    @property
    def end_ms(self) -> float:
        """When its last byte was read, since the run began."""
        return self.sent_ms + self.e2e_ms
