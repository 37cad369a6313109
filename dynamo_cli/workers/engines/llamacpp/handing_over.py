"""The state of a slot, offered to another worker and fetched from one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from dynamo_cli.disagg.transfer.base import Ticket, Transfer, read_ticket
from dynamo_cli.errors import EngineFailed, InvalidRequest, TransferFailed
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engines.llamacpp.client import LlamaClient
from dynamo_cli.workers.engines.llamacpp.slots import Slots
from dynamo_cli.workers.engines.llamacpp.state_file import StateFiles

FAMILY = "llamacpp"


class Transferred(NamedTuple):
    tokens: int
    bytes: int
    seconds: float


class HandingOver:
    """Gives out the slots too: one whose state is saved or restored must not be another request's in between."""

    def __init__(self, transfer: Transfer, files: StateFiles, client: LlamaClient, slots: int) -> None:
        self._transfer = transfer
        self._files = files
        self._client = client
        self._slots = Slots(slots)

    def take_slot(self, request: EngineRequest) -> int:
        """What a hand-over is for will be overwritten, so that gets the one unused the longest."""
        return self._slots.take(() if request.handover is not None else request.token_ids)

    def give_slot_back(self, slot: int, held: Sequence[int]) -> None:
        self._slots.give_back(slot, held)

    async def offer(self, slot: int, context: Context) -> Handover | None:
        """What the slot holds, for whoever fetches it; None when the request is stopped meanwhile.

        Raises Overloaded when too much waits already.
        """
        with self._files.open() as file:
            await self._client.save(slot, file.name)
            ticket = self._transfer.offer(file.memory())
        if context.stopped:
            self._transfer.release(ticket)
            return None
        return Handover(FAMILY, {"ticket": msgspec.to_builtins(ticket)})

    def let_go(self, handover: Handover) -> None:
        """Nobody will fetch it. Idempotent."""
        with contextlib.suppress(TransferFailed):
            self._transfer.release(_ticket(handover))

    async def fetch(self, handover: Handover, slot: int, context: Context) -> Transferred | None:
        """Fill the slot with what another worker has computed; None when the request is stopped meanwhile.

        Raises TransferFailed.
        """
        task = asyncio.ensure_future(self._bring(_ticket(handover), slot))
        context.on_stop(partial(_cancel, task))
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        return None if task.cancelled() else task.result()

    async def _bring(self, ticket: Ticket, slot: int) -> Transferred:
        began = time.monotonic()
        with self._files.open() as file:
            await self._transfer.fetch(ticket, file.memory(ticket.size))
            try:
                tokens = await self._client.restore(slot, file.name)
            except InvalidRequest as error:
                raise TransferFailed(f"llama.cpp cannot take the KV that was fetched: {error}") from None
        return Transferred(tokens, ticket.size, time.monotonic() - began)


def _cancel(task: asyncio.Future[Transferred]) -> None:
    task.cancel()


def _ticket(handover: Handover) -> Ticket:
    if handover.family != FAMILY:
        raise TransferFailed(f"llama.cpp cannot take the KV of {handover.family}")
    ticket = read_ticket(handover.params.get("ticket"))
    if ticket.size < 1:
        raise TransferFailed("the hand-over has a ticket for no KV at all")
    return ticket


def refuse_handing(request: EngineRequest) -> None:
    """Raises what is wrong with asking a worker for a hand-over that has no part in any."""
    if request.prefill_only:
        raise EngineFailed("this worker keeps nothing for others: its role is neither prefill nor decode")
    if request.handover is not None:
        raise TransferFailed("this worker fetches nothing from others: its role is neither prefill nor decode")
