"""The views of several frontends as one truth, and as a table."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from dynamo_cli.protocol.routing_view import (
    Asks,
    KnownModel,
    KnownWorker,
    PrefillCounts,
    RouterView,
    Share,
    UnseenWorker,
)
from dynamo_cli.supervisor import router_table
from dynamo_cli.supervisor.routing_status import complaints, routing_status


def worker(name: str, **more: Any) -> KnownWorker:
    return KnownWorker(service=name, **{"total_blocks": 400, "blocks_known": 200, **more})


def view(router: str, workers: dict[str, KnownWorker], *others: str, mode: str = "kv", size: int = 64) -> RouterView:
    model = KnownModel(block_size=size, workers=workers)
    return RouterView(mode=mode, router=router, routers=dict.fromkeys(others, True), models={"org/m": model})


def two() -> dict[str, RouterView]:
    """As two frontends see two workers while each has a request at the first one."""
    both = {"a": Share(1, 30), "b": Share(2, 50)}
    common = {"active_blocks": 7, "requests": 3, "queued_tokens": 80, "by_router": both}
    one = {"1": worker("decode-0", routed=3, prompt_tokens=300, found_tokens=200, **common), "2": worker("decode-1")}
    two = {"1": worker("decode-0", routed=1, prompt_tokens=100, found_tokens=0, **common), "2": worker("decode-1")}
    return {"frontend-0": view("a", one, "b"), "frontend-1": view("b", two, "a")}


def test_hits_are_summed_and_what_is_in_flight_counts_once() -> None:
    found = routing_status("agg", two(), {})
    first, second = found.workers
    assert (first.worker, first.worker_id, first.hit, first.routed) == ("decode-0", "1", 0.5, 4)
    assert (first.requests, first.queued_tokens, first.active_blocks, first.blocks_known) == (3, 80, 7, 200)
    assert (second.hit, second.requests) == (None, 0)
    assert [(one.name, one.knows) for one in found.frontends] == [
        ("frontend-0", ["frontend-1"]),
        ("frontend-1", ["frontend-0"]),
    ]
    assert found.block_sizes == {"org/m": 64} and found.notes == []


def test_each_routers_own_word_counts_where_they_know_nothing_of_each_other() -> None:
    one = view("a", {"1": worker("decode-0", by_router={"a": Share(1, 30)})})
    other = view("b", {"1": worker("decode-0", by_router={"b": Share(2, 50)})})
    found = routing_status("agg", {"frontend-0": one, "frontend-1": other}, {})
    assert (found.workers[0].requests, found.workers[0].queued_tokens) == (3, 80)
    assert found.notes == ["frontend-0, frontend-1: not all that other frontends have in flight is known there"]


def test_who_is_silent_is_named_and_others_speak_for_it() -> None:
    views = {"frontend-0": two()["frontend-0"]}
    found = routing_status("agg", views, {"frontend-1": "no answer within 1 s"})
    assert found.workers[0].requests == 3
    assert found.frontends[1].problem == "no answer within 1 s"
    assert found.notes[0] == "frontend-1 tells nothing: no answer within 1 s"


def test_who_knows_less_is_named() -> None:
    views = two()
    known = views["frontend-1"].models["org/m"].workers
    del known["2"]
    known["1"].blocks_known = 100
    found = routing_status("agg", views, {})
    assert found.notes == [
        "frontend-1 knows 100 of the 200 blocks that are known of decode-0",
        "frontend-1 does not know decode-1 of model org/m",
    ]


def test_what_is_wrong_is_said_once_or_by_whom() -> None:
    views = two()
    for one in views.values():
        one.unseen["decode-9"] = UnseenWorker("org/m", "elsewhere", "is ready, but elsewhere")
    blind = views["frontend-0"].models["org/m"].workers["1"]
    blind.blind, blind.hint = "silent", "tells nothing"
    assert complaints(views) == [
        "decode-0: tells nothing (so says frontend-0)",
        "decode-9: is ready, but elsewhere",
    ]
    assert routing_status("agg", views, {}).workers[0].blind == "silent"


def test_a_router_process_is_named_or_missed() -> None:
    views = two()
    for one in views.values():
        one.asks = Asks("7f")
    found = routing_status("agg", views, {})
    assert "router mode kv by a router process" in router_table.headline(found) and not found.notes
    views["frontend-1"].asks = Asks()
    assert routing_status("agg", views, {}).notes == [
        "no router process answers: frontends choose by themselves (so says frontend-1)"
    ]


def test_what_prefill_workers_did_is_summed_over_frontends() -> None:
    views = two()
    done = PrefillCounts(prefills=3, fallbacks=1, transfers=3, tokens=90, bytes=4_000_000, seconds=0.25)
    views["frontend-0"].prefills, views["frontend-1"].prefills = {"org/m": done}, {"org/m": done}
    found = routing_status("agg", views, {})
    assert found.prefills == {"org/m": done + done} and found.prefills["org/m"].transfers == 6
    line = "org/m: 6 prompts prefilled remotely, 8.0 MB of KV moved in 0.5 s (0.02 GB/s), 2 fallbacks"
    assert line in router_table.plain(found).splitlines()
    assert "prefilled" not in router_table.plain(routing_status("agg", two(), {}))


def test_the_table_has_a_part_for_each_model() -> None:
    lines = router_table.plain(routing_status("agg", two(), {"frontend-2": "answers 503"})).splitlines()
    assert lines[0] == "agg  router mode kv  frontend-0, frontend-1 know of each other"
    assert lines[2] == "org/m: blocks of 64 tokens"
    assert lines[3].split() == ["WORKER", "BLOCKS", "KNOWN", "HIT", "IN", "USE", "QUEUED", "REQUESTS", "ROUTED"]
    assert lines[4].split() == ["decode-0", "200", "of", "400", "50%", "7", "80", "3", "4"]
    assert lines[5].split() == ["decode-1", "200", "of", "400", "-", "0", "0", "0", "0"]
    assert "frontend-2 tells nothing: answers 503" in lines


def test_other_modes_show_requests_in_flight() -> None:
    workers = {"1": KnownWorker(service="decode-0", requests=2)}
    views = {name: view(name, workers, mode="round-robin", size=0) for name in ("frontend-0", "frontend-1")}
    lines = router_table.plain(routing_status("agg", views, {})).splitlines()
    assert lines[0] == "agg  router mode round-robin  frontend-0  frontend-1"
    assert lines[2:] == [
        "org/m: this mode looks at no KV caches; requests in flight:",
        "WORKER    REQUESTS",
        "decode-0         4",
    ]


def test_nothing_to_show_is_said() -> None:
    assert router_table.plain(routing_status("agg", {}, {})).endswith("no frontend is there to ask")
    empty = {"frontend-0": RouterView(mode="kv", router="a")}
    assert router_table.plain(routing_status("agg", empty, {})).endswith("no frontend knows a worker")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("colour", [True, False])
def test_it_fits_a_terminal(width: int, colour: bool) -> None:
    views = two()
    for one in views.values():
        one.unseen["decode-9"] = UnseenWorker("org/m", "elsewhere", "is ready, but elsewhere " * 8)
    out = io.StringIO()
    found = routing_status("agg", views, {})
    console = Console(file=out, width=width, force_terminal=True, color_system="standard", no_color=not colour)
    console.print(router_table.rich_parts(found))
    shown = out.getvalue()
    assert ("\x1b[33m" in shown) == colour
    out = io.StringIO()
    Console(file=out, width=width).print(router_table.rich_parts(found))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert all(len(line) <= width for line in lines)
    assert next(line for line in lines if line.startswith("decode-0")).split()[-3:] == ["80", "3", "4"]
    assert "".join(lines).count("elsewhere") == 8
