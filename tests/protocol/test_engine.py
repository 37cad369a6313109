"""What workers answer, as it crosses the request plane."""

from __future__ import annotations

import msgspec
import pytest

from dynamo_cli.protocol.engine import Delta

decode = msgspec.msgpack.Decoder(Delta).decode


@pytest.mark.parametrize("token", [-1, 1 << 32])
def test_what_is_no_token_id_is_no_delta(token: int) -> None:
    assert decode(msgspec.msgpack.encode(Delta([0, (1 << 32) - 1]))) == Delta([0, (1 << 32) - 1])
    with pytest.raises(msgspec.ValidationError, match="Expected `int`"):
        decode(msgspec.msgpack.encode(Delta([5, token])))
