"""How one request is followed through all processes: the ids that its log lines and spans have in common.

A request brings its ids as W3C Trace Context headers (https://www.w3.org/TR/trace-context/) or gets new ones here.
"""

from __future__ import annotations

import re
from random import getrandbits

import msgspec

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
MAX_STATE, MAX_MEMBERS = 512, 32
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_MEMBER = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class Trail(msgspec.Struct, array_like=True, omit_defaults=True, frozen=True, gc=False):
    """`request_id` is the x-request-id. `span_id`: what this process does for it; `parent_id`: whoever asked for that.

    Ids of traces and spans are 32 and 16 lower-case hexadecimal digits. `state`: the tracestate, as it came.
    """

    request_id: str
    trace_id: str
    span_id: str
    sampled: bool = True
    state: str = ""
    parent_id: str = ""

    @property
    def traceparent(self) -> str:
        """The header that names our span as the parent of what follows."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @property
    def headers(self) -> dict[str, str]:
        """For whoever is asked next, such as an engine that traces too."""
        headers = {"x-request-id": self.request_id, TRACEPARENT: self.traceparent}
        return headers | {TRACESTATE: self.state} if self.state else headers

    def continued(self) -> Trail:
        """What another process, which has this trail from whoever asked it, makes of it: a span below that one's."""
        return Trail(self.request_id, self.trace_id, new_span_id(), self.sampled, self.state, self.span_id)


def begin_trail(request_id: str, parent: bytes | None = None, state: bytes | None = None) -> Trail:
    """Of a request with these headers. A malformed traceparent is none: the request begins a new trace."""
    given = None if parent is None else _parse(parent.decode("latin-1"))
    if given is None:
        made = f"{getrandbits(192) | 1 << 64 | 1:048x}"  # neither may be zero
        return Trail(request_id, made[:32], made[32:])
    trace_id, parent_id, sampled = given
    kept = _checked_state(state.decode("latin-1")) if state else ""
    return Trail(request_id, trace_id, new_span_id(), sampled, kept, parent_id)


def new_span_id() -> str:
    return f"{getrandbits(64) or 1:016x}"


def _parse(parent: str) -> tuple[str, str, bool] | None:
    """Trace, span and whether it is sampled. A later version may add to what version 00 says, which ends there."""
    found = _PARENT.fullmatch(parent.strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return trace_id, span_id, bool(int(flags, 16) & 1)


def _checked_state(state: str) -> str:
    """Empty unless all of it is well formed: it is nobody's to repair."""
    members = [member.strip(" \t") for member in state.split(",")]
    members = [member for member in members if member]
    keys = {member.partition("=")[0] for member in members}
    whole = ",".join(members)
    if len(whole) > MAX_STATE or len(members) > MAX_MEMBERS or len(keys) < len(members):
        return ""
    return whole if all(map(_MEMBER.fullmatch, members)) else ""
