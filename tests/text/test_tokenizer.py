from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Core

from dynamo_cli.errors import InvalidRequest, ModelMissing
from dynamo_cli.text.bundle import TextBundle
from dynamo_cli.text.gguf_tokenizer import tokenizer_json
from dynamo_cli.text.pretokenizers import PRE_TOKENIZERS
from dynamo_cli.text.segment_cache import SHORTEST, SegmentCache, special_tokens
from dynamo_cli.text.tokenizer import Tokenizer
from dynamo_cli.text.vocabulary import Vocabulary
from dynamo_cli.text.words import MOST_WORDS, WordMemory, cuts_lines, word_pattern
from tests.text.texts import random_texts
from tests.text.vocabularies import bpe_metadata

PIECES = st.sampled_from(
    [
        "<|im_start|>",
        "<|im_end|>",
        "<|im_",
        "user\n",
        "word ",
        "x" * SHORTEST,
        "the same stretch " * 40,
        "🎉 é ",
        "1 2 ",
        "\n\n  ",
    ]
)


@given(texts=st.lists(st.lists(PIECES, max_size=12).map("".join), max_size=4))
def test_remembering_changes_no_id(bundle: TextBundle, texts: list[str]) -> None:
    for text in texts:
        expected = bundle.tokenizer.core.encode(text, add_special_tokens=False).ids
        assert bundle.tokenizer.encode(text) == expected
        assert bundle.tokenizer.encode(text) == expected


# For which kinds words are remembered: the others are tokenized whole.
WITH_WORDS = "gpt-2 smollm llama3 dbrx qwen2 tekken gpt-4o seed-coder bailingmoe qwen35 jais-2".split()


@pytest.mark.parametrize("pre", WITH_WORDS)
def test_remembered_words_are_the_words_of_the_tokenizer(pre: str, model_path: Path) -> None:
    assert pre in PRE_TOKENIZERS
    description = tokenizer_json(Vocabulary(bpe_metadata(model_path, pre=pre)))
    assert description is not None
    core = Core.from_str(description.decode())
    pattern = word_pattern(core)
    assert pattern is not None
    memory = WordMemory(pattern, lambda text: core.encode(text, add_special_tokens=False).ids)
    texts = [
        "".join(filter(str.isascii, text)).replace("<repo_name>", "").replace("<|", "<")
        for text in random_texts(600, seed=11)
    ]
    for text in texts:
        expected = core.encode(text, add_special_tokens=False).ids
        for word in pattern.findall(text):
            memory[word]
        assert memory.encode(text) == expected, repr(text)


@pytest.mark.parametrize("pre", WITH_WORDS)
def test_lines_that_are_not_ascii_stand_among_those_that_are(pre: str, model_path: Path) -> None:
    description = tokenizer_json(Vocabulary(bpe_metadata(model_path, pre=pre)))
    assert description is not None
    core = Core.from_str(description.decode())
    pattern = word_pattern(core)
    assert pattern is not None and cuts_lines(pattern)
    memory = WordMemory(pattern, lambda text: core.encode(text, add_special_tokens=False).ids)
    lines = [text.replace("<", "") for text in random_texts(400, seed=12)]
    for start in range(0, 400, 4):
        text = "\n".join(line + "x"[start % 3 :] for line in lines[start : start + 4])
        assert memory.encode(text) == core.encode(text, add_special_tokens=False).ids, repr(text)


def test_a_word_that_reaches_over_lines_forbids_cutting_them() -> None:
    assert not cuts_lines(re.compile(r"\s?[A-Za-z]+|\s|.", re.ASCII))


def test_memory_of_words_is_bounded() -> None:
    pattern = word_pattern(byte_level())
    assert pattern is not None
    memory = WordMemory(pattern, lambda text: [1])
    for number in range(MOST_WORDS + 10):
        memory[f"w{number}"]
    memory["x" * 1000]
    assert len(memory) == 10


def byte_level() -> Core:
    core = Core(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return core


def test_stretches_are_bounded_and_the_oldest_goes_first() -> None:
    asked: list[str] = []

    def encode(text: str) -> list[int]:
        asked.append(text[0])
        return [1] * 100

    cache = SegmentCache(encode, {"|": 0}, max_bytes=3500)
    texts = [letter * 1000 for letter in "abc"]
    for text in (texts[0], texts[1], texts[0], texts[2], texts[0], texts[1]):
        cache.encode(text)
    assert asked == ["a", "b", "c", "b"]
    assert cache.size <= 3500


def test_tokens_that_reach_beside_themselves_are_not_cut_at() -> None:
    core = byte_level()
    from tokenizers import AddedToken

    core.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    assert special_tokens(core) is None


def test_a_lone_surrogate_is_a_bad_request(bundle: TextBundle) -> None:
    for text in ("a\ud800b", "long " * 1000 + "\udfff"):
        with pytest.raises(InvalidRequest, match="lone surrogate"):
            bundle.tokenizer.encode(text)


def test_the_empty_text(bundle: TextBundle) -> None:
    assert bundle.tokenizer.encode("") == []
    assert bundle.tokenizer.decode([]) == ""


@given(text=st.lists(PIECES | st.sampled_from(["#" * 5000, "\u0251\u0301" * 900, "a\u0323\u0302"])).map("".join))
def test_only_a_text_that_is_too_long_exceeds(bundle: TextBundle, text: str) -> None:
    tokens = len(bundle.tokenizer.encode(text))
    assert not bundle.tokenizer.exceeds(text, tokens)


def test_a_hopelessly_long_text_is_known_by_its_length(bundle: TextBundle) -> None:
    assert bundle.tokenizer.exceeds("word " * 100_000, 1000)
    assert not bundle.tokenizer.exceeds("word " * 10_000, 1000)


def test_a_tokenizer_that_squeezes_texts_exceeds_nothing(bundle: TextBundle) -> None:
    core = Core.from_str(bundle.tokenizer.core.to_str())
    core.normalizer = normalizers.Replace(Regex(" +"), " ")
    assert not Tokenizer(core).exceeds(" " * 1_000_000, 1)
    core.normalizer = normalizers.Replace(" ", "__")
    assert Tokenizer(core).exceeds(" " * 1_000_000, 1)


def test_vocabulary_size(bundle: TextBundle) -> None:
    assert bundle.tokenizer.vocab_size == 49152


def test_an_unusable_file(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelMissing, match="not a usable tokenizer"):
        Tokenizer.from_file(tmp_path / "tokenizer.json")
