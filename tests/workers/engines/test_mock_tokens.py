from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import EngineFailed
from dynamo_cli.workers.engines.mock.tokens import absorb, absorb_all, initial_state, pick, printable_ids
from dynamo_cli.workers.model import PreparedModel

token_ids = st.lists(st.integers(0, 2**32 - 1), max_size=60)


@given(token_ids, st.integers(0, 60), st.integers(0, 2**31))
def test_the_state_does_not_know_where_tokens_came_from(tokens: list[int], split: int, seed: int) -> None:
    state = absorb_all(initial_state(seed), tokens[:split])
    for token in tokens[split:]:
        state = absorb(state, token)
    assert state == absorb_all(initial_state(seed), tokens)
    assert 0 <= state < 2**64


@given(token_ids.filter(bool), st.integers(0, 2**31))
def test_one_other_token_is_another_state(tokens: list[int], seed: int) -> None:
    changed = [tokens[0] ^ 1, *tokens[1:]]
    assert absorb_all(initial_state(seed), tokens) != absorb_all(initial_state(seed), changed)


def test_picks_are_spread_over_all_choices() -> None:
    state, seen = initial_state(0), [0] * 10
    for n in range(10_000):
        seen[pick(state, 10)] += 1
        state = absorb(state, n % 7)
    assert min(seen) > 850 and max(seen) < 1150


def test_ids_of_plain_words(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    vocabulary = {"Ġhello": 5, "world": 3, "<|end|>": 0, "Ġ": 1, "é": 2, "12": 4, "##ing": 6, "special": 7}
    added = [{"id": 7, "content": "special"}, {"id": 0, "content": "<|end|>"}]
    file.write_text(json.dumps({"added_tokens": added, "model": {"vocab": vocabulary, "merges": []}}))
    assert printable_ids(file) == [3, 5]
    file.write_text(
        json.dumps({"model": {"type": "Unigram", "vocab": [["<unk>", 0.0], ["▁hello", -1.5], ["ing", -2]]}})
    )
    assert printable_ids(file) == [1, 2]


def test_a_vocabulary_without_words_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text('{"model": {"vocab": {"1": 1}}}')
    with pytest.raises(EngineFailed, match="no plain words"):
        printable_ids(file)


def test_words_of_the_default_model_decode_to_text(default_model: PreparedModel) -> None:
    from dynamo_cli.text.bundle import load_bundle

    bundle = load_bundle(Path(default_model.text_path))
    ids = printable_ids(Path(default_model.text_path, "tokenizer.json"))
    assert len(ids) > 10_000
    assert not set(ids) & set(bundle.eos_token_ids)
    for token in ids[:: len(ids) // 500]:
        text = bundle.tokenizer.decode([token])
        assert text.strip().isascii() and text.strip().isalpha()
