from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.gguf import read_metadata
from tests.text.toy_gguf import write_gguf

EVERYTHING = {
    "general.name": "naïve 模型",
    "a.flag": True,
    "a.number": 4096,
    "a.float": 0.5,
    "list.text": ["", "Ġa", "🎉"],
    "list.numbers": [1, -2, 3],
    "list.floats": [0.25, -1.5],
}


def plain(path: Path) -> dict:
    found = read_metadata(path)
    return {key: value if isinstance(value, (str, int, float)) else list(value) for key, value in found.items()}


@pytest.mark.parametrize("version", [2, 3])
def test_reads_every_type(tmp_path: Path, version: int) -> None:
    assert plain(write_gguf(tmp_path / "m.gguf", EVERYTHING, version=version)) == EVERYTHING


@pytest.mark.parametrize(
    ("kind", "packed", "value"),
    [
        (0, b"\xff", 255),
        (1, b"\xff", -1),
        (2, b"\xff\xff", 65535),
        (3, b"\xff\xff", -1),
        (5, b"\xff" * 4, -1),
        (10, b"\xff" * 8, 2**64 - 1),
        (11, b"\xff" * 8, -1),
        (12, struct.pack("<d", 1e300), 1e300),
    ],
)
def test_reads_every_scalar(tmp_path: Path, kind: int, packed: bytes, value: object) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<I", kind) + packed)
    assert read_metadata(path) == {"k": value}


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", EVERYTHING)
    whole = path.read_bytes().rstrip(b"\0")
    cut = tmp_path / "cut.gguf"
    for size in range(len(whole) - 4):
        cut.write_bytes(whole[:size])
        with pytest.raises(ModelMissing, match=r"cut\.gguf: not a usable GGUF file"):
            read_metadata(cut)


@given(noise=st.binary(max_size=200), at=st.integers(4, 300))
def test_damage_never_does_worse_than_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    path = write_gguf(tmp_path_factory.getbasetemp() / "damaged.gguf", EVERYTHING)
    whole = bytearray(path.read_bytes())
    whole[at : at + len(noise)] = noise
    path.write_bytes(whole)
    try:
        read_metadata(path)
    except ModelMissing as error:
        assert "\n" not in str(error)


def header(keys: int, body: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, keys) + body


KEY = struct.pack("<Q", 1) + b"k"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"PK\x03\x04" + bytes(100), "does not begin with GGUF"),
        (header(0, version=1), "version 1"),
        (header(0, version=0x03000000), "little-endian"),
        (header(2**60), "entries are announced"),
        (header(1, struct.pack("<Q", 2**62) + bytes(20)), "ends inside"),
        (header(1, KEY + struct.pack("<IIQ", 9, 8, 2**40)), "entries are announced"),
        (header(1, KEY + struct.pack("<IIQ", 9, 4, 2**31)), "entries are announced"),
        (header(1, KEY + struct.pack("<IIQ", 9, 9, 1) + bytes(40)), "nested"),
        (header(1, KEY + struct.pack("<I", 77)), "unknown type 77"),
        (header(2, (KEY + struct.pack("<II", 4, 1)) * 2), "twice"),
    ],
)
def test_hostile_headers(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelMissing, match=says):
        read_metadata(path)


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="cannot be read"):
        read_metadata(tmp_path)
