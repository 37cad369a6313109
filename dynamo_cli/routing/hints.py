"""What a client says of a request for the sake of its routing."""

from __future__ import annotations

import msgspec


class RoutingHints(msgspec.Struct, frozen=True):
    """Router modes other than kv ignore them.

    `session`: requests of one session go to one worker, if sessions are kept at all. `expected_output`: tokens, 0 is
    unknown. `overlap_credit` and `temperature` stand for this request in place of the router's own.
    """

    session: str = ""
    expected_output: int = 0
    overlap_credit: float | None = None
    temperature: float | None = None


NO_HINTS = RoutingHints()
