"""KV blocks as they are named between processes: hashes of their tokens, and the events that tell where they are.

The hash is the reference's, so that indexes can be compared: XXH3-64 of the block's token ids as little-endian u32,
chained from the first block on. A chained hash therefore names a whole prefix.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Literal

import msgspec
from xxhash import xxh3_64_intdigest

Tier = Literal["device", "host", "disk"]
TIERS: tuple[Tier, ...] = ("device", "host", "disk")

KV_TOPIC = "kv"
"""On the event plane: messages are lists of KvEvent, to be applied in order."""
SEED = 1337
_U64 = (1 << 64) - 1
_TWO = struct.Struct("<QQ").pack
_TOKENS = "I" if array("I").itemsize == 4 else "L"


def adapter_seed(adapter: str = "") -> int:
    """The seed of a model's blocks; those of an adapter share nothing with the model's own or another's."""
    return (SEED + xxh3_64_intdigest(adapter.encode())) & _U64 if adapter else SEED


def local_hashes(
    token_ids: Sequence[int], block_size: int, *, seed: int = SEED, media: Mapping[int, Iterable[int]] | None = None
) -> list[int]:
    """The hash of each full block by itself; what is left at the end has none.

    `media`: for the blocks (by index) that hold images and the like, the hashes (u64) of these objects.
    Raises OverflowError for a token id that is negative or over 32 bits.
    """
    tokens = array(_TOKENS, token_ids)
    if sys.byteorder == "big":
        tokens.byteswap()
    width, count = 4 * block_size, len(tokens) // block_size
    blocks: Sequence[bytes] = struct.unpack_from(f"{width}s" * count, tokens)
    if media:
        blocks = [block + _media_bytes(media.get(index, ())) for index, block in enumerate(blocks)]
    return list(map(xxh3_64_intdigest, blocks, repeat(seed)))


def chain(local: Iterable[int], parent: int | None = None) -> list[int]:
    """The hash of each prefix: of the blocks from the first one, or from `parent`'s end, to this one.

    The seed is the same for every adapter: the blocks' own hashes already differ.
    """
    chained = []
    for block in local:
        parent = block if parent is None else xxh3_64_intdigest(_TWO(parent, block), SEED)
        chained.append(parent)
    return chained


def block_hashes(token_ids: Sequence[int], block_size: int, *, adapter: str = "") -> list[int]:
    """The chained hashes of the full blocks of a prompt."""
    return chain(local_hashes(token_ids, block_size, seed=adapter_seed(adapter)))


def _media_bytes(hashes: Iterable[int]) -> bytes:
    return b"".join(one.to_bytes(8, "little") for one in sorted(hashes))


class Stored(msgspec.Struct, tag="stored", array_like=True, frozen=True):
    """Blocks (chained hashes, each after its parent) a worker now holds in that tier."""

    hashes: list[int]
    tier: Tier = "device"


class Removed(msgspec.Struct, tag="removed", array_like=True, frozen=True):
    """Blocks (chained hashes) a worker no longer holds in that tier."""

    hashes: list[int]
    tier: Tier = "device"


class Cleared(msgspec.Struct, tag="cleared", array_like=True, frozen=True):
    """A worker holds no block any more, in no tier."""


KvEvent = Stored | Removed | Cleared
