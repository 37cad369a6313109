"""What a request says of its routing: by header, or by `nvext`."""

from __future__ import annotations

from dynamo_cli.protocol.openai import NvExt
from dynamo_cli.routing.hints import NO_HINTS, RoutingHints
from dynamo_cli.runtime.http.request import Request

SESSION = b"x-dynamo-session-id"


def routing_hints(request: Request, nvext: NvExt | None) -> RoutingHints:
    session = request.headers.get(SESSION)
    if session is None and (nvext is None or (nvext.agent_hints is None and nvext.router_config_override is None)):
        return NO_HINTS
    agent = nvext.agent_hints if nvext is not None else None
    override = nvext.router_config_override if nvext is not None else None
    credit = temperature = None
    if override is not None:
        credit, temperature = override.overlap_score_credit, override.router_temperature
        if credit is None:
            credit = override.overlap_score_weight
    return RoutingHints(
        session=session.decode("latin-1").strip() if session else "",
        expected_output=(agent.osl or 0) if agent is not None else 0,
        overlap_credit=credit,
        temperature=temperature,
    )
