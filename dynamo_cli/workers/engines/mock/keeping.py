"""What a mock prefill worker keeps for decode workers, and the socket at which they come for it.

A conversation is one line each way: the id from the hand-over, then what is kept or why nothing is. The blocks are free
as soon as that connection ends, however it does, so nobody's death leaves any behind. No KV is moved: the time that it
would take is the decode worker's to let pass. Who comes to a room (both were told of it beforehand) may come early, and
waits there. "drop" before an id: nobody will come for it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

import msgspec

from dynamo_cli.protocol.handover import Handover
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence

FAMILY = "mock"
ANSWER_S = 5.0
"""How long the other side may take for its line."""
DROP, ROOM = "drop ", "room "


class KvForm(msgspec.Struct, frozen=True):
    """What both sides must have in common."""

    block_size: int
    bytes_per_token: int


class Kept(msgspec.Struct, omit_defaults=True):
    """The answer to an id. `refused`: why there is nothing, "" when there is."""

    tokens: int = 0
    form: KvForm | None = None
    refused: str = ""


class _Held:
    def __init__(self, sequence: Sequence, timer: asyncio.TimerHandle) -> None:
        self.sequence = sequence
        self.timer = timer
        self.fetched = False


class KvKeeper:
    """`free` is called once for each sequence that was kept, when it need not be any more. `start`, then `close`."""

    def __init__(self, form: KvForm, keep_s: float, free: Callable[[Sequence], None]) -> None:
        self.expired = 0
        self._form = form
        self._keep_s = keep_s
        self._free = free
        self._held: dict[str, _Held] = {}
        self._server: asyncio.Server | None = None
        self._address = "", 0
        self._open: set[asyncio.StreamWriter] = set()
        self._awaited: dict[str, asyncio.Future[None]] = {}

    @property
    def address(self) -> tuple[str, int]:
        return self._address

    def __len__(self) -> int:
        return len(self._held)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._address = self._server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.close()
        self.drop()

    def keep(self, sequence: Sequence, room: str = "") -> Handover:
        """Until it is fetched, or nobody has come for so long. `room`: the id, if both were told one."""
        key = room or secrets.token_hex(16)
        timer = asyncio.get_running_loop().call_later(self._keep_s, self._expire, key)
        self._held[key] = _Held(sequence, timer)
        if awaited := self._awaited.pop(key, None):
            awaited.set_result(None)
        host, port = self._address
        return Handover(FAMILY, {"host": host, "port": port, "id": key})

    def let_go(self, handover: Handover) -> None:
        """Nobody will come for it. Idempotent."""
        params = handover.params
        room = params.get("bootstrap_room")
        self._let_go(str(params.get("id")) if room is None else f"{ROOM}{room}")

    def drop(self) -> None:
        """Keep nothing any more."""
        for key in list(self._held):
            self._let_go(key)

    def _expire(self, key: str) -> None:
        self.expired += 1
        self._let_go(key)

    def _let_go(self, key: str) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            held.timer.cancel()
            self._free(held.sequence)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        key = ""
        try:
            line = await asyncio.wait_for(reader.readline(), ANSWER_S)
            asked = line.decode("ascii", "replace").strip()
            if asked.startswith(DROP):
                self._let_go(asked.removeprefix(DROP))
                return
            if asked.startswith(ROOM) and asked not in self._held:
                await self._meet(asked, reader)
            key, kept = self._found(asked)
            writer.write(msgspec.json.encode(kept) + b"\n")
            await writer.drain()
            await reader.read()
        except (OSError, asyncio.TimeoutError, ValueError):
            pass
        finally:
            self._let_go(key)
            self._open.discard(writer)
            writer.close()

    async def _meet(self, room: str, reader: asyncio.StreamReader) -> None:
        """Until something is kept there, whoever waits has gone, or time is over."""
        awaited = self._awaited.setdefault(room, asyncio.get_running_loop().create_future())
        gone = asyncio.ensure_future(reader.read(1))
        await asyncio.wait((awaited, gone), timeout=self._keep_s, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        if not awaited.done():
            self._awaited.pop(room, None)

    def _found(self, key: str) -> tuple[str, Kept]:
        """What is kept under that id, and the id if it is this caller's now."""
        held = self._held.get(key)
        if held is None or held.fetched:
            return "", Kept(refused="nothing is kept under that id (any more)")
        held.fetched = True
        held.timer.cancel()
        return key, Kept(held.sequence.prompt_tokens, self._form)
