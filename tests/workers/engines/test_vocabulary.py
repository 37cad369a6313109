from __future__ import annotations

import json
from pathlib import Path

import pytest

from dynamo_cli.errors import EngineFailed
from dynamo_cli.workers.engines.llamacpp.heldback import HeldBack
from dynamo_cli.workers.engines.vocabulary import by_bytes, read_pieces
from dynamo_cli.workers.model import PreparedModel


def write(path: Path, vocabulary: dict[str, int] | list[list[object]], added: tuple[int, ...] = ()) -> Path:
    file = path / "tokenizer.json"
    model = {"type": "BPE", "vocab": vocabulary, "merges": []}
    file.write_text(json.dumps({"added_tokens": [{"id": id, "content": "x"} for id in added], "model": model}))
    return file


def test_pieces_of_dictionaries_and_of_scored_lists(tmp_path: Path) -> None:
    assert read_pieces(write(tmp_path, {"a": 0, "<end>": 1}, added=(1,))) == {"a": 0}
    assert read_pieces(write(tmp_path, [["<unk>", 0.0], ["▁a", -1.5]])) == {"<unk>": 0, "▁a": 1}


def test_a_file_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(EngineFailed, match=r"tokenizer\.json"):
        read_pieces(tmp_path / "tokenizer.json")


def test_bytes_of_both_spellings() -> None:
    assert by_bytes({"Ġ": 0, "ĠðŁ": 1, "ĺ": 2, "é": 3, "日": 4}) == {b" ": 0, b" \xf0\x9f": 1, b"\x98": 2, b"\xe9": 3}
    assert by_bytes({"▁a": 0, "<0xF0>": 1, "é": 2}) == {b" a": 0, b"\xf0": 1, "é".encode(): 2}


def test_every_character_of_several_tokens_is_spelled_as_its_tokenizer_does(default_model: PreparedModel) -> None:
    from dynamo_cli.text.bundle import load_bundle

    tokenizer = load_bundle(Path(default_model.text_path)).tokenizer
    held_back = HeldBack(Path(default_model.text_path, "tokenizer.json"))
    texts = [chr(code) for code in range(0x4E00, 0x5000)] + [chr(code) for code in range(0x1F600, 0x1F640)]
    wrong = 0
    for text in [*texts, *(" " + text for text in texts)]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        found = list(held_back.tokens(text, len(ids), ids[-1]))
        assert tokenizer.decode(found) == text
        wrong += found != ids
    assert wrong == 0


def test_what_cannot_be_spelled_keeps_its_last_token(default_model: PreparedModel) -> None:
    held_back = HeldBack(Path(default_model.text_path, "tokenizer.json"))
    assert held_back.tokens("\ufffd", 2, 218) == (218,)
    assert held_back.tokens("日" * 100, 3, 218) == (218,)
