"""The ids are the engine's own: llama.cpp and we tokenize the same texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer as Core

from dynamo_cli.hub.gguf import read_metadata
from dynamo_cli.text.bundle import TextBundle
from dynamo_cli.text.gguf_tokenizer import tokenizer_json
from dynamo_cli.text.pretokenizers import PRE_TOKENIZERS
from dynamo_cli.text.tokenizer import Tokenizer
from dynamo_cli.text.vocabulary import Vocabulary
from tests.text.llamacpp import EngineTokenizer, engine_tokenizer
from tests.text.texts import random_texts
from tests.text.toy_gguf import write_model
from tests.text.vocabularies import bpe_metadata, spm_metadata


def tokenizer_of(path: Path) -> Tokenizer:
    description = tokenizer_json(Vocabulary(read_metadata(path)))
    assert description is not None
    return Tokenizer(Core.from_str(description.decode()))


def assert_same(tokenizer: Tokenizer, engine: EngineTokenizer, texts: list[str], special: bool = False) -> None:
    for text in texts:
        assert tokenizer.encode(text, add_special_tokens=special) == engine.encode(text, special), repr(text)


@pytest.mark.slow
def test_default_model(bundle: TextBundle, model_path: Path) -> None:
    with engine_tokenizer(model_path) as engine:
        assert_same(bundle.tokenizer, engine, random_texts(10_000, seed=1))


@pytest.mark.slow
def test_default_model_decodes_alike(bundle: TextBundle, model_path: Path) -> None:
    with engine_tokenizer(model_path) as engine:
        for text in random_texts(500, seed=2):
            ids = bundle.tokenizer.encode(text)
            assert bundle.tokenizer.decode(ids, skip_special_tokens=False) == text == engine.decode(ids)


# One name for each way of cutting words; the aliases share it.
KINDS = {pre: name for name, pre in reversed(PRE_TOKENIZERS.items())}


@pytest.mark.slow
@pytest.mark.parametrize("pre", KINDS.values())
def test_every_known_pre_tokenizer(pre: str, model_path: Path, tmp_path: Path) -> None:
    toy = write_model(tmp_path / "toy.gguf", bpe_metadata(model_path, pre=pre))
    with engine_tokenizer(toy) as engine:
        assert_same(tokenizer_of(toy), engine, random_texts(150, seed=4))


@pytest.mark.slow
@pytest.mark.parametrize("add_bos_token", [True, False])
@pytest.mark.parametrize("add_eos_token", [True, False])
def test_bpe_first_and_last_token(add_bos_token: bool, add_eos_token: bool, model_path: Path, tmp_path: Path) -> None:
    changes = {"add_bos_token": add_bos_token, "add_eos_token": add_eos_token}
    toy = write_model(tmp_path / "toy.gguf", bpe_metadata(model_path, **changes))
    with engine_tokenizer(toy) as engine:
        assert_same(tokenizer_of(toy), engine, random_texts(20, seed=5), special=True)


@pytest.mark.slow
@pytest.mark.parametrize("add_space_prefix", [True, False])
@pytest.mark.parametrize("special", [True, False])
def test_sentencepiece(add_space_prefix: bool, special: bool, tmp_path: Path) -> None:
    toy = write_model(tmp_path / "toy.gguf", spm_metadata(add_space_prefix=add_space_prefix))
    with engine_tokenizer(toy) as engine:
        assert_same(tokenizer_of(toy), engine, random_texts(1500, seed=6), special)
