"""Names, shapes and sizes of a model's tensors, from the heads of its files: no weight is read."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from dynamo_cli.errors import ModelMissing

MOST_HEADER = 256 << 20
"""Bytes; the largest models have some ten megabytes."""


class Tensor(NamedTuple):
    """`kind`: F32, BF16, I8, Q4_K, ... `bytes` in the file."""

    name: str
    kind: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def numbers(self) -> int:
        return prod(self.shape)


def read_safetensors(directory: Path) -> list[Tensor]:
    """Of all files that an engine loads. Raises ModelMissing for one that cannot be read."""
    files = sorted(directory.glob("*.safetensors"))
    # Some repositories hold the same weights a second time in their maker's own layout.
    standard = [file for file in files if not file.name.startswith("consolidated")]
    return [tensor for file in standard or files for tensor in _tensors(file)]


def _tensors(file: Path) -> Iterator[Tensor]:
    try:
        for name, entry in _header(file).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                yield Tensor(name, str(entry["dtype"]), tuple(map(int, entry["shape"])), end - begin)
    except OSError as error:
        raise ModelMissing(f"{file}: cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, struct.error) as error:
        raise ModelMissing(f"{file}: not a usable safetensors file; fetch the model again") from error


def _header(file: Path) -> dict[str, Any]:
    """Its length as eight bytes, then JSON: https://github.com/huggingface/safetensors#format"""
    with file.open("rb") as stream:
        (size,) = struct.unpack("<Q", stream.read(8))
        if size > MOST_HEADER:
            raise ValueError(size)
        return msgspec.json.decode(stream.read(size), type=dict[str, Any])
