"""How a mock decode worker gets the KV of a prompt: it asks who keeps it, and lets the time of the transfer pass."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from dynamo_cli.errors import TransferFailed
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.workers.engines.mock.keeping import ANSWER_S, DROP, FAMILY, ROOM, Kept, KvForm

MEETING_S = 120.0
"""How long a prompt may take to be computed; who asked for it hears of a failure long before."""
_decode = msgspec.json.Decoder(Kept).decode


class _Place(msgspec.Struct, frozen=True):
    host: str
    port: int
    id: str
    patience_s: float = ANSWER_S


class _Meeting(msgspec.Struct, frozen=True):
    """Where a prefill worker will keep what it does not have yet."""

    bootstrap_host: str
    bootstrap_port: int
    bootstrap_room: int


def room_of(handover: Handover | None) -> str:
    """The id under which a prefill worker is to keep what is computed; "" when it may choose."""
    if handover is None or "bootstrap_room" not in handover.params:
        return ""
    return _place(handover).id


async def fetch(handover: Handover, prompt_tokens: int, form: KvForm, seconds: float) -> None:
    """Hold on to what is kept for so many seconds, then let it go.

    Raises TransferFailed when it is not there, does not fit, or goes away meanwhile.
    """
    place = _place(handover)
    async with _connection(place) as (reader, writer):
        writer.write(place.id.encode() + b"\n")
        kept = await _answer(reader, place)
        if kept.refused:
            raise TransferFailed(f"the prefill worker at port {place.port}: {kept.refused}")
        _check(kept, prompt_tokens, form)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), seconds)
            raise TransferFailed(f"the prefill worker at port {place.port} has gone during the transfer")


async def give_up(handover: Handover) -> None:
    """Nobody will fetch it: let its blocks be free now, not when they have been kept for long enough."""
    with contextlib.suppress(TransferFailed):
        async with _connection(_place(handover)) as (_, writer):
            writer.write(f"{DROP}{_place(handover).id}\n".encode())
            await writer.drain()


def check_family(handover: Handover) -> None:
    """Raises TransferFailed for what another engine has left."""
    _place(handover)


def _place(handover: Handover) -> _Place:
    if handover.family != FAMILY:
        raise TransferFailed(f"the mock engine cannot fetch what a prefill worker of {handover.family!r} keeps")
    params: dict[str, Any] = handover.params
    try:
        if "bootstrap_room" in params:
            met = msgspec.convert(params, _Meeting)
            return _Place(met.bootstrap_host, met.bootstrap_port, f"{ROOM}{met.bootstrap_room}", MEETING_S)
        return msgspec.convert(params, _Place)
    except msgspec.ValidationError as error:
        raise TransferFailed(f"the hand-over does not say where the KV is: {error}") from None


@contextlib.asynccontextmanager
async def _connection(place: _Place) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(place.host, place.port), ANSWER_S)
    except (OSError, asyncio.TimeoutError) as error:
        raise TransferFailed(f"the prefill worker at port {place.port} cannot be reached: {error!r}") from None
    try:
        yield reader, writer
    except OSError as error:
        raise TransferFailed(f"the prefill worker at port {place.port}: {error}") from None
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, place: _Place) -> Kept:
    try:
        return _decode(await asyncio.wait_for(reader.readline(), place.patience_s))
    except (OSError, asyncio.TimeoutError, msgspec.DecodeError):
        raise TransferFailed(f"the prefill worker at port {place.port} does not say what it keeps") from None


def _check(kept: Kept, prompt_tokens: int, form: KvForm) -> None:
    if kept.form != form:
        raise TransferFailed(f"the prefill worker keeps KV as {kept.form}, this one as {form}")
    if kept.tokens != prompt_tokens:
        raise TransferFailed(f"the prefill worker keeps {kept.tokens} tokens, the prompt has {prompt_tokens}")
