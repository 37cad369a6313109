from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.runtime.trail import begin_trail

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_request_without_a_trace_begins_one() -> None:
    one, other = begin_trail("r"), begin_trail("r")
    assert re.fullmatch(r"[0-9a-f]{32}", one.trace_id) and re.fullmatch(r"[0-9a-f]{16}", one.span_id)
    assert one.trace_id != other.trace_id and one.parent_id == "" and one.sampled


def test_a_trace_goes_on_below_the_clients_span() -> None:
    trail = begin_trail("r", PARENT.encode(), b"vendor=a1,other=b 2")
    assert (trail.trace_id, trail.parent_id, trail.state) == (TRACE, SPAN, "vendor=a1,other=b 2")
    worker = trail.continued()
    assert (worker.trace_id, worker.parent_id, worker.request_id) == (TRACE, trail.span_id, "r")
    assert len({SPAN, trail.span_id, worker.span_id}) == 3
    assert worker.headers == {
        "x-request-id": "r",
        "traceparent": f"00-{TRACE}-{worker.span_id}-01",
        "tracestate": "vendor=a1,other=b 2",
    }


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)])
def test_whether_it_is_sampled_travels(flags: str, sampled: bool) -> None:
    trail = begin_trail("r", f"00-{TRACE}-{SPAN}-{flags}".encode())
    assert trail.sampled == trail.continued().sampled == sampled
    assert trail.traceparent.endswith("-01" if sampled else "-00")


@pytest.mark.parametrize("parent", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-more", f" {PARENT}\t"])
def test_later_versions_are_understood(parent: str) -> None:
    assert begin_trail("r", parent.encode()).trace_id == TRACE


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "x",
        PARENT.upper(),
        f"{PARENT}-more",
        f"{PARENT}0",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00_{TRACE}_{SPAN}_01",
        f"{PARENT}, {PARENT}",
    ],
)
def test_a_malformed_parent_is_none(parent: str) -> None:
    trail = begin_trail("r", parent.encode(), b"vendor=a1")
    assert trail.trace_id != TRACE and trail.parent_id == "" and trail.state == ""


@given(st.binary(max_size=80))
def test_no_bytes_break_it(header: bytes) -> None:
    trail = begin_trail("r", header, header)
    assert len(trail.trace_id) == 32 and len(trail.traceparent) == 55


@pytest.mark.parametrize(
    "state",
    [
        "",
        "a",
        "a=",
        "A=1",
        "a=1,a=2",
        "a=1=2",
        "a=\x01",
        "ä=1",
        ",".join(f"k{n}=1" for n in range(33)),
        f"a={'x' * 600}",
    ],
)
def test_a_malformed_state_is_dropped_and_the_trace_kept(state: str) -> None:
    trail = begin_trail("r", PARENT.encode(), state.encode("latin-1"))
    assert trail.trace_id == TRACE and trail.state == ""
