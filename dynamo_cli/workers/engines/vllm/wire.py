"""What vLLM's processes tell the worker over its private socket: length-prefixed msgpack messages."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

SOCKET_VARIABLE = "DYNAMO_VLLM_SOCKET"
"""Environment of vLLM's processes: the path of that socket. Without it the plugin does nothing."""
HEAD_BYTES = 4
Hash = int | bytes
"""The engine's own name of a block: nothing but that is asked of it."""


class Stored(msgspec.Struct, tag="stored", array_like=True):
    """`hashes`, each block after its parent, the first one after `parent`; `token_ids` of all of them together.

    `kind`: of the attention whose cache it is, None when the engine does not say; `group`: which of its caches.
    `by_tokens`: so many of the blocks, from the first on, are named by their tokens (and the adapter) alone.
    """

    hashes: list[Hash]
    parent: Hash | None
    token_ids: list[int]
    block_size: int
    by_tokens: int
    adapter: str = ""
    medium: str | None = None
    group: int | None = None
    kind: str | None = None


class Removed(msgspec.Struct, tag="removed", array_like=True):
    hashes: list[Hash]
    medium: str | None = None
    group: int | None = None


class Cleared(msgspec.Struct, tag="cleared", array_like=True):
    pass


class Events(msgspec.Struct, tag="events", array_like=True):
    """What changed in the cache in one step. `lost`: so many earlier steps were never told."""

    events: list[Stored | Removed | Cleared]
    lost: int = 0


class Failure(msgspec.Struct, tag="failure", array_like=True):
    """`process` could not go on: `kind` is the exception's type."""

    process: str
    kind: str
    text: str


Message = Events | Failure
_encode = msgspec.msgpack.Encoder().encode


def framed(message: Message) -> bytes:
    body = _encode(message)
    return len(body).to_bytes(HEAD_BYTES, "big") + body


class Unframer:
    """Messages from a stream of bytes, however it is cut. Raises msgspec.DecodeError for what is none."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._decode = msgspec.msgpack.Decoder(Message).decode

    def feed(self, data: bytes) -> Iterable[Message]:
        buffer = self._buffer
        buffer += data
        at, end = 0, len(buffer)
        while at + HEAD_BYTES <= end:
            last = at + HEAD_BYTES + int.from_bytes(buffer[at : at + HEAD_BYTES], "big")
            if last > end:
                break
            yield self._decode(bytes(buffer[at + HEAD_BYTES : last]))
            at = last
        del buffer[:at]
