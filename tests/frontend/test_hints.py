"""What a request says of its routing."""

from __future__ import annotations

from dynamo_cli.frontend.hints import routing_hints
from dynamo_cli.protocol.openai import AgentHints, NvExt, RouterOverride
from dynamo_cli.routing.hints import NO_HINTS, RoutingHints
from dynamo_cli.runtime.http.request import Request


def request(**headers: str) -> Request:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Request("POST", "/", named, "1.1", False)


def test_hints_come_from_the_header_and_from_nvext() -> None:
    assert routing_hints(request(), None) is NO_HINTS
    assert routing_hints(request(), NvExt(greed_sampling=True)) is NO_HINTS
    assert routing_hints(request(x_dynamo_session_id=" a "), None) == RoutingHints(session="a")
    nvext = NvExt(
        agent_hints=AgentHints(osl=7),
        router_config_override=RouterOverride(overlap_score_weight=0.5, router_temperature=0.2),
    )
    assert routing_hints(request(), nvext) == RoutingHints("", 7, 0.5, 0.2)
    newer = NvExt(router_config_override=RouterOverride(overlap_score_credit=2, overlap_score_weight=0.5))
    assert routing_hints(request(), newer).overlap_credit == 2
