"""Block hashes against the reference's own values."""

from __future__ import annotations

import struct

import pytest
from xxhash import xxh3_64_intdigest

from dynamo_cli.protocol.kv import adapter_seed, block_hashes, chain, local_hashes


def test_blocks_of_sixteen() -> None:
    assert local_hashes(range(64), 16) == [
        15310707395893867146,
        15292316782987903195,
        5532946206955930018,
        14928757266181269122,
    ]


def test_blocks_of_thirty_two() -> None:
    assert local_hashes(range(64), 32) == [5756925433886871916, 13958166640625465031]


def test_what_does_not_fill_a_block_has_no_hash() -> None:
    assert local_hashes(range(31), 16) == local_hashes(range(16), 16)
    assert local_hashes(range(15), 16) == []


def test_an_adapter_has_a_seed_of_its_own() -> None:
    assert local_hashes(range(16), 16, seed=adapter_seed("my-lora")) == [7774427462321301335]
    assert adapter_seed("") == 1337


def test_every_block_of_an_adapter_differs() -> None:
    assert local_hashes(range(64), 16, seed=adapter_seed("my-lora")) == [
        7774427462321301335,
        11306793257002815283,
        5227710324928887427,
        16227747212725006563,
    ]


def test_the_blocks_of_an_adapter_are_chained_as_all_are() -> None:
    """The reference chains public hashes with its one seed: the blocks' own already name the adapter."""
    local = local_hashes(range(64), 16, seed=adapter_seed("my-lora"))
    expected = [local[0]]
    for block in local[1:]:
        expected.append(xxh3_64_intdigest(struct.pack("<QQ", expected[-1], block), 1337))
    assert block_hashes(range(64), 16, adapter="my-lora") == expected
    assert chain(local[2:], expected[1]) == expected[2:]


def test_media_in_a_block() -> None:
    assert local_hashes([1, 2, 3, 4] * 8, 32, media={0: [0xDEADBEEF]}) == [11195092912036423825]


def test_media_change_their_own_blocks_in_any_order() -> None:
    for hashes in ([5, 3], [3, 5]):
        assert local_hashes(range(64), 16, media={0: hashes, 2: [7]}) == [
            13671724722054334538,
            15292316782987903195,
            10026512588341068152,
            14928757266181269122,
        ]


def test_a_token_that_is_none_is_refused() -> None:
    for token in (-1, 1 << 32):
        with pytest.raises(OverflowError):
            local_hashes([token] * 16, 16)


def test_the_first_block_names_itself_and_the_next_its_prefix_too() -> None:
    local = local_hashes(range(64), 16)
    chained = block_hashes(range(64), 16)
    assert chained[0] == local[0]
    assert chained[1:] == chain(local[1:], chained[0])
    assert chained[1] != local[1]
