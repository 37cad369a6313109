from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Core
from tokenizers import decoders, models, pre_tokenizers

from dynamo_cli.text.bundle import TextBundle
from dynamo_cli.text.detokenizer import Detokenizer
from dynamo_cli.text.gguf_tokenizer import tokenizer_json
from dynamo_cli.text.tokenizer import Tokenizer
from dynamo_cli.text.vocabulary import Vocabulary
from tests.text.texts import random_texts
from tests.text.vocabularies import spm_metadata


@pytest.fixture(scope="module")
def sentencepiece() -> Tokenizer:
    description = tokenizer_json(Vocabulary(spm_metadata()))
    assert description is not None
    return Tokenizer(Core.from_str(description.decode()))


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    """Decodes by a rule of its own: spaces between words."""
    vocabulary = {"[UNK]": 0, "hello": 1, "world": 2, "##s": 3, "!": 4}
    core = Core(models.WordPiece(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.decoder = decoders.WordPiece()
    return Tokenizer(core)


def streamed(tokenizer: Tokenizer, ids: list[int], sizes: list[int], skip: bool = True) -> str:
    stream, text, done = Detokenizer(tokenizer, skip_special_tokens=skip), "", 0
    for size in sizes:
        text += stream.push(ids[done : done + size])
        done += size
    return text + stream.push(ids[done:]) + stream.flush()


IDS = st.lists(st.integers(0, 49_200), max_size=60)
SIZES = st.lists(st.integers(0, 4), max_size=60)


@given(ids=IDS, sizes=SIZES, skip=st.booleans())
def test_any_ids_in_any_chunks_are_the_whole_decoded(
    bundle: TextBundle, ids: list[int], sizes: list[int], skip: bool
) -> None:
    whole = bundle.tokenizer.decode_whole(ids, skip_special_tokens=skip)
    assert (
        streamed(bundle.tokenizer, ids, sizes, skip) == whole == bundle.tokenizer.decode(ids, skip_special_tokens=skip)
    )


@pytest.mark.parametrize("size", [1, 2, 7])
def test_texts_come_back(bundle: TextBundle, sentencepiece: Tokenizer, size: int) -> None:
    for tokenizer in (bundle.tokenizer, sentencepiece):
        for text in random_texts(300, seed=9):
            ids = tokenizer.encode(text, add_special_tokens=False)
            if text and not any(special in text for special in ("<s>", "</s>", "<unk>")):
                expected = tokenizer.decode_whole(ids, skip_special_tokens=False)
                assert streamed(tokenizer, ids, [size] * len(ids), skip=False) == expected


def test_half_an_emoji_is_not_shown(bundle: TextBundle) -> None:
    ids = bundle.tokenizer.encode("🎉")
    assert len(ids) > 1
    stream = Detokenizer(bundle.tokenizer)
    assert [stream.push([number]) for number in ids] == [""] * (len(ids) - 1) + ["🎉"]
    stream.push(ids[:1])
    assert stream.flush() == "\ufffd"


def test_special_tokens_are_skipped_or_shown(bundle: TextBundle) -> None:
    ids = bundle.tokenizer.encode("<|im_start|>hi<|im_end|>")
    assert streamed(bundle.tokenizer, ids, []) == "hi"
    assert streamed(bundle.tokenizer, ids, [], skip=False) == "<|im_start|>hi<|im_end|>"


def test_an_id_beyond_the_vocabulary_is_nothing(bundle: TextBundle) -> None:
    assert bundle.tokenizer.decode([19556, 10_000_000, 905]) == bundle.tokenizer.decode([19556, 905])


def test_sentencepiece_drops_only_the_first_space(sentencepiece: Tokenizer) -> None:
    ids = sentencepiece.encode("hello  world", add_special_tokens=False)
    assert streamed(sentencepiece, ids, [1] * len(ids)) == "hello  world"


@given(ids=st.lists(st.integers(0, 4), max_size=30), sizes=SIZES)
def test_a_decoder_with_rules_of_its_own(words: Tokenizer, ids: list[int], sizes: list[int]) -> None:
    assert words.pieces(True) is None
    assert streamed(words, ids, sizes) == words.decode_whole(ids, skip_special_tokens=True)


def test_a_long_stream_takes_no_more_memory(bundle: TextBundle) -> None:
    stream = Detokenizer(bundle.tokenizer)
    ids = bundle.tokenizer.encode("a stream of words 🎉 that goes on, ")
    for number in ids:
        stream.push([number])
    tracemalloc.start()
    started = time.process_time()
    for _ in range(100_000 // len(ids)):
        for number in ids:
            stream.push([number])
    used = time.process_time() - started
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 20_000
    assert used < 3


def test_any_joining_decoder_is_recognised() -> None:
    llama = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]}  # fmt: skip
    description = {"version": "1.0", "added_tokens": [], "decoder": llama, "model": {
        "type": "BPE", "vocab": {"▁a": 0, "<0xE2>": 1, "<0x82>": 2, "<0xAC>": 3, "▁": 4}, "merges": []}}  # fmt: skip
    tokenizer = Tokenizer(Core.from_str(json.dumps(description)))
    assert tokenizer.drops_first_space
    assert streamed(tokenizer, [0, 1, 2, 3, 0, 1], [1] * 6) == "a€ a\ufffd"
    assert streamed(tokenizer, [4, 4, 0], [1] * 3) == "  a"
