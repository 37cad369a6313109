"""The metadata of a GGUF file (versions 2 and 3): its key-values, without touching the weights."""

from __future__ import annotations

import mmap
import struct
from array import array
from pathlib import Path

from dynamo_cli.errors import ModelMissing

Scalar = str | int | float | bool
Metadata = dict[str, "Scalar | list[str] | array[int] | array[float]"]

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRUCTS = {kind: struct.Struct("<" + code) for kind, code in _SCALARS.items()}
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")

MAX_ITEMS = 1 << 24
"""More entries than any vocabulary has; a header that claims more is not believed."""


def read_metadata(path: Path) -> Metadata:
    """All key-values of a GGUF file, strings decoded (undecodable bytes become lone surrogates).

    Raises ModelMissing with one line when the file is unreadable, not GGUF, cut short or inconsistent.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).metadata()
    except OSError as error:
        raise ModelMissing(f"{path}: cannot be read: {error.strerror or error}") from error
    except (_Malformed, ValueError) as error:  # mmap answers an empty file with ValueError
        raise ModelMissing(f"{path}: not a usable GGUF file: {error}; fetch the model again") from error


class _Malformed(Exception):
    pass


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._size = len(data)
        self._at = 0

    def metadata(self) -> Metadata:
        if self._take(4) != b"GGUF":
            raise _Malformed("it does not begin with GGUF")
        version = self._u32()
        if version not in (2, 3):
            raise _Malformed(f"version {version} is not 2 or 3 (little-endian)")
        self._u64()  # the number of tensors
        count = self._count(self._u64(), 13)  # key length, one byte, type, one byte
        found: Metadata = {}
        for _ in range(count):
            key = self._string()
            if key in found:
                raise _Malformed(f"key {key!r} stands twice")
            found[key] = self._value(self._u32(), key)
        return found

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
