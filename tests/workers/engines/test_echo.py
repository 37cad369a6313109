from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import InvalidRequest, UsageError
from dynamo_cli.protocol.engine import EngineRequest, StopConditions
from dynamo_cli.workers.engines.echo.engine import EchoEngine
from dynamo_cli.workers.engines.echo.spec import EchoOptions
from dynamo_cli.workers.engines.text_input import pieces
from tests.workers.engines.cases import collect


@given(st.text())
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert all(pieces(text))


async def echoed(request: EngineRequest) -> str:
    deltas = await collect(EchoEngine(EchoOptions()), request)
    return "".join(delta.text for delta in deltas)


async def test_the_last_user_message_comes_back_verbatim() -> None:
    text = "  <think>two\n\nlines</think>\t{}  "
    messages = [
        {"role": "user", "content": "no"},
        {"role": "user", "content": text},
        {"role": "assistant", "content": "nor this"},
    ]
    assert await echoed(EngineRequest("m", messages=messages)) == text


async def test_text_parts_and_prompts() -> None:
    parts = [{"type": "text", "text": "a b"}, {"type": "text", "text": " c"}]
    assert await echoed(EngineRequest("m", messages=[{"role": "user", "content": parts}])) == "a b c"
    assert await echoed(EngineRequest("m", prompt="x  y")) == "x  y"
    assert await echoed(EngineRequest("m", prompt="")) == ""


async def test_a_stop_string_cuts_the_text() -> None:
    deltas = await collect(
        EchoEngine(EchoOptions()), EngineRequest("m", prompt="one two", stop=StopConditions(stop=(" t", "e")))
    )
    assert "".join(delta.text for delta in deltas) == "on"
    assert deltas[-1].finish_reason == "stop"


async def test_nothing_to_say_is_an_invalid_request() -> None:
    for request in (EngineRequest("m", [1, 2]), EngineRequest("m", messages=[{"role": "system", "content": "x"}])):
        with pytest.raises(InvalidRequest):
            await echoed(request)


def test_the_delay_comes_from_the_option_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYN_TOKEN_ECHO_DELAY_MS", "25")
    assert EchoEngine(EchoOptions())._delay_s == 0.025
    assert EchoEngine(EchoOptions(delay_ms=5))._delay_s == 0.005
    monkeypatch.setenv("DYN_TOKEN_ECHO_DELAY_MS", "soon")
    with pytest.raises(UsageError, match="DYN_TOKEN_ECHO_DELAY_MS"):
        EchoEngine(EchoOptions())
