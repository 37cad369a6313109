from __future__ import annotations

import pytest

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.engine import EngineRequest, StopConditions
from dynamo_cli.workers.admission import admit
from dynamo_cli.workers.engine import EngineInfo

TOKENS, TEXT = EngineInfo(context_length=10), EngineInfo(input="text")


def request(tokens: int, max_tokens: int | None = None) -> EngineRequest:
    return EngineRequest("m", [7] * tokens, stop=StopConditions(max_tokens, stop_token_ids=(2,)))


def test_max_tokens_defaults_to_what_is_left_of_the_context() -> None:
    admitted = admit(request(4), TOKENS)
    assert admitted.stop == StopConditions(6, stop_token_ids=(2,))
    assert admit(request(4, 6), TOKENS).stop.max_tokens == 6
    assert admit(request(4), EngineInfo()).stop.max_tokens is None


@pytest.mark.parametrize(("tokens", "max_tokens"), [(10, 1), (11, None), (4, 7), (0, 1), (4, 0), (4, -1)])
def test_what_does_not_fit_is_refused(tokens: int, max_tokens: int | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        admit(request(tokens, max_tokens), TOKENS)
    assert refused.value.param in ("prompt", "max_tokens")


def test_text_engines_need_something_to_read() -> None:
    for good in (EngineRequest("m", prompt=""), EngineRequest("m", messages=[])):
        assert admit(good, TEXT) is good
    with pytest.raises(InvalidRequest):
        admit(request(3), TEXT)
