"""The head of a GGUF file (versions 2 and 3): its key-values and tensors, without touching the weights."""

from __future__ import annotations

import mmap
import re
import struct
from array import array
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import TypeVar

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.tensors import Tensor

Scalar = str | int | float | bool
Metadata = dict[str, "Scalar | list[str] | array[int] | array[float]"]
Head = tuple[Metadata, list[Tensor]]
T = TypeVar("T")

_FIRST_PART = re.compile(r"-00001-of-(\d{5})\.gguf$")

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRUCTS = {kind: struct.Struct("<" + code) for kind, code in _SCALARS.items()}
# Of ggml's types, by number: name, how many weights are stored together, and the bytes those take.
_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")

MAX_ITEMS = 1 << 24
"""More entries than any vocabulary has; a header that claims more is not believed."""


def read_metadata(path: Path) -> Metadata:
    """All key-values of a GGUF file, strings decoded (undecodable bytes become lone surrogates).

    Raises ModelMissing with one line when the file is unreadable, not GGUF, cut short or inconsistent.
    """
    return _read(path, lambda reader: reader.metadata())


def read_head(path: Path) -> tuple[Metadata, list[Tensor]]:
    """The same with the tensors of this file and, if it is the first of several, of all its parts."""
    head = _read(path, lambda reader: (reader.metadata(), reader.tensors()))
    return head[0], [tensor for part in _parts(path, head) for tensor in part[1]]


def _parts(path: Path, first: Head) -> Iterator[Head]:
    yield first
    found = _FIRST_PART.search(path.name)
    for number in range(2, int(found[1]) + 1 if found else 0):
        name = path.name.replace("-00001-of-", f"-{number:05d}-of-")
        yield _read(path.with_name(name), lambda reader: (reader.metadata(), reader.tensors()))


def _read(path: Path, what: Callable[[_Reader], T]) -> T:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return what(_Reader(data))
    except OSError as error:
        raise ModelMissing(f"{path}: cannot be read: {error.strerror or error}") from error
    except _Newer as error:
        raise ModelMissing(f"{path}: {error}") from error
    except (_Malformed, ValueError) as error:  # mmap answers an empty file with ValueError
        raise ModelMissing(f"{path}: not a usable GGUF file: {error}; fetch the model again") from error


class _Malformed(Exception):
    pass


class _Newer(Exception):
    """What the file holds may be sound, but is not known here."""


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._size = len(data)
        self._at = 0
        self._tensors = 0

    def metadata(self) -> Metadata:
        if self._take(4) != b"GGUF":
            raise _Malformed("it does not begin with GGUF")
        version = self._u32()
        if version not in (2, 3):
            raise _Malformed(f"version {version} is not 2 or 3 (little-endian)")
        self._tensors = self._u64()
        count = self._count(self._u64(), 13)  # key length, one byte, type, one byte
        found: Metadata = {}
        for _ in range(count):
            key = self._string()
            if key in found:
                raise _Malformed(f"key {key!r} stands twice")
            found[key] = self._value(self._u32(), key)
        return found

    def tensors(self) -> list[Tensor]:
        """What comes after the metadata."""
        return [self._tensor() for _ in range(self._count(self._tensors, 32))]  # name, sides, one side, type, offset

    def _tensor(self) -> Tensor:
        name, sides = self._string(), self._u32()
        shape = tuple(self._u64() for _ in range(self._count(sides, 8)))
        stored = self._u32()
        self._u64()  # where it begins
        if stored not in _TYPES:
            raise _Newer(f"tensor {name!r} is of type {stored}, whose size is not known in this release")
        kind, together, size = _TYPES[stored]
        return Tensor(name, kind, shape[::-1], prod(shape) // together * size)

    def _value(self, kind: int, key: str) -> Scalar | list[str] | array[int] | array[float]:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array(key)
        scalar = _STRUCTS.get(kind)
        if scalar is None:
            raise _Malformed(f"key {key!r} has unknown type {kind}")
        value: Scalar = scalar.unpack(self._take(scalar.size))[0]
        return value

    def _array(self, key: str) -> list[str] | array[int] | array[float]:
        kind, claimed = self._u32(), self._u64()
        if kind == _STRING:
            return self._strings(self._count(claimed, 8))
        scalar = _STRUCTS.get(kind)
        if scalar is None:
            raise _Malformed(f"key {key!r} is an array of unknown or nested type {kind}")
        items: array[int] = array(_SCALARS[kind].replace("?", "B"))
        items.frombytes(self._take(self._count(claimed, scalar.size) * scalar.size))
        return items

    def _strings(self, count: int) -> list[str]:
        data, size, at = self._data, self._size, self._at
        length_at = _U64.unpack_from
        found = []
        for _ in range(count):
            start = at + 8
            if start > size:
                raise _Malformed("it ends inside a list")
            at = start + length_at(data, at)[0]
            if at > size:
                raise _Malformed("it ends inside a list")
            found.append(data[start:at].decode("utf-8", "surrogateescape"))
        self._at = at
        return found

    def _string(self) -> str:
        return self._take(self._u64()).decode("utf-8", "surrogateescape")

    def _count(self, claimed: int, smallest: int) -> int:
        if claimed > MAX_ITEMS or claimed * smallest > self._size - self._at:
            raise _Malformed(f"{claimed} entries are announced where they cannot be")
        return claimed

    def _u32(self) -> int:
        return int(_U32.unpack(self._take(4))[0])

    def _u64(self) -> int:
        return int(_U64.unpack(self._take(8))[0])

    def _take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > self._size:
            raise _Malformed("it ends inside its header")
        return self._data[start : self._at]
