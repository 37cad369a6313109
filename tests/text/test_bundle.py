from __future__ import annotations

import json
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest
from tokenizers import Tokenizer as Core
from tokenizers import models

from dynamo_cli.errors import ModelMissing, ResourceMissing
from dynamo_cli.hub.resolve import ModelFiles
from dynamo_cli.text import made, sources
from dynamo_cli.text.bundle import TextBundle, load_bundle
from dynamo_cli.text.prepare import prepare_bundle
from dynamo_cli.text.sources import read_source
from tests.text.toy_gguf import model_metadata, write_gguf
from tests.text.vocabularies import spm_metadata


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dynamo" / "text"


def gguf(tmp_path: Path, **changes: object) -> ModelFiles:
    template = {"tokenizer.chat_template": changes.pop("chat_template")} if "chat_template" in changes else {}
    metadata = {**model_metadata(), **spm_metadata(**changes), **template}
    return ModelFiles("toy", write_gguf(tmp_path / "m.gguf", metadata), "gguf")


def prepared(files: ModelFiles) -> TextBundle:
    path = prepare_bundle(files)
    assert path is not None
    return load_bundle(path)


def test_the_default_model(bundle: TextBundle) -> None:
    assert bundle.eos_token_ids == (0, 2)
    assert bundle.bos_token_id == 1
    assert not bundle.add_bos
    assert bundle.context_length == 8192
    assert bundle.encode_chat("<|im_start|>user\n") == bundle.tokenizer.encode("<|im_start|>user\n")


def test_the_directory_is_named_by_its_content(tmp_path: Path, cache: Path) -> None:
    first, again = prepare_bundle(gguf(tmp_path)), prepare_bundle(gguf(tmp_path))
    other = prepare_bundle(gguf(tmp_path, chat_template="x", add_bos_token=False))
    assert first is not None and other is not None
    assert first == again != other
    assert load_bundle(first).digest == first.name
    assert sorted(folder.name for folder in cache.iterdir()) == sorted([first.name, other.name])


def test_a_file_that_has_not_changed_is_not_read_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, reads = gguf(tmp_path), []
    monkeypatch.setattr(sources, "read_source", lambda files: reads.append(files) or read_source(files))
    fresh = [prepare_bundle(files) for _ in range(2)]
    assert len(reads) == 2, "it may be changing still"
    later = time.time() + 60
    monkeypatch.setattr(made.time, "time", lambda: later)
    known = [prepare_bundle(files) for _ in range(3)]
    assert len(reads) == 3 and len({*fresh, *known}) == 1
    other = prepare_bundle(gguf(tmp_path, add_bos_token=False))
    assert len(reads) == 4 and other not in known
    assert other is not None
    shutil.rmtree(other)
    assert prepare_bundle(files) == other and len(reads) == 5
    notes = cache.with_name("text-of-gguf")
    shutil.rmtree(notes)
    notes.write_text("in the way")
    assert prepare_bundle(files) == other and len(reads) == 6


def test_workers_that_start_together_make_one(tmp_path: Path, cache: Path) -> None:
    files, found = gguf(tmp_path), []
    threads = [Thread(target=lambda: found.append(prepare_bundle(files))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert [folder.name for folder in cache.iterdir()] == [found[0].name]


def test_bos_comes_once(tmp_path: Path) -> None:
    bundle = prepared(gguf(tmp_path))
    assert bundle.add_bos
    assert bundle.encode_chat("hello")[0] == 1
    assert bundle.encode_chat("<s>hello").count(1) == 1
    assert bundle.tokenizer.encode("hello")[0] == 1
    assert bundle.eos_token_ids == (2, 260)  # </s> and <|im_end|>


def test_the_template_of_a_gguf(tmp_path: Path) -> None:
    bundle = prepared(gguf(tmp_path, chat_template="{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"))
    assert bundle.template is not None
    assert bundle.template.render([{"role": "user", "content": "hi"}]) == "<s>hi</s>"


@pytest.mark.parametrize("changes", [{"model": "bert"}, {"model": "gpt2", "pre": "of-tomorrow", "merges": ["a b"]}])
def test_an_unknown_kind_is_left_to_the_engine(tmp_path: Path, changes: dict[str, object]) -> None:
    assert prepare_bundle(gguf(tmp_path, **changes)) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tokens": []}, "no tokens"),
        ({"token_type": [1, 1]}, "fewer token_type than tokens"),
        ({"tokens": ["a", "a"]}, "a token twice"),
    ],
)
def test_an_inconsistent_file_is_refused(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    with pytest.raises(ModelMissing, match=says):
        prepare_bundle(gguf(tmp_path, **changes))


def huggingface(folder: Path, **files: object) -> ModelFiles:
    folder.mkdir()
    core = Core(models.BPE())
    core.add_special_tokens(["<s>", "</s>", "<|end|>"])
    core.save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return ModelFiles("m", folder, "hf")


CHAT = "{{ bos_token }}{{ messages[0].content }}"


@pytest.mark.parametrize(
    "template", [CHAT, [{"name": "tool_use", "template": "no"}, {"name": "default", "template": CHAT}]]
)
def test_a_huggingface_directory(tmp_path: Path, template: object) -> None:
    settings = {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": template}
    config = {"max_position_embeddings": 4096, "eos_token_id": 1}
    files = huggingface(
        tmp_path / "m", tokenizer_config=settings, config=config, generation_config={"eos_token_id": [1, 2]}
    )
    bundle = prepared(files)
    assert (bundle.eos_token_ids, bundle.bos_token_id, bundle.context_length) == ((1, 2), 0, 4096)
    assert bundle.template is not None
    assert bundle.template.render([{"role": "user", "content": "x"}]) == "<s>x"


def test_a_template_that_is_none_is_refused_before_a_frontend_meets_it(tmp_path: Path, cache: Path) -> None:
    broken = huggingface(tmp_path / "m", tokenizer_config={"chat_template": "{{ x"})
    without_jinja2 = "is not valid" if find_spec("jinja2") else "needs `pip install jinja2`"
    for files in (broken, gguf(tmp_path, chat_template="{{ x")):
        with pytest.raises(ModelMissing, match=f"chat template {without_jinja2}: .*[^.]; --custom") as refused:
            prepare_bundle(files)
        assert str(refused.value).startswith(f"{files.path}: ")
        assert not cache.exists()
        assert prepare_bundle(files, "{{ messages }}") is not None
        shutil.rmtree(cache)


def test_an_added_token_without_a_text_names_nothing(tmp_path: Path) -> None:
    files = huggingface(tmp_path / "m", tokenizer_config={"eos_token": "</s>"})
    tokenizer = json.loads((files.path / "tokenizer.json").read_bytes())
    tokenizer["added_tokens"] = [{"id": 1}, {"content": "</s>", "id": 2}]
    (files.path / "tokenizer.json").write_text(json.dumps(tokenizer))
    source = read_source(files)
    assert source is not None and source.facts.eos_token_ids == [2]


def test_a_template_file_comes_first(tmp_path: Path) -> None:
    files = huggingface(tmp_path / "m", tokenizer_config={"chat_template": "old"}, config={"text_config": {
        "max_position_embeddings": 77}})  # fmt: skip
    (files.path / "chat_template.jinja").write_text("new")
    bundle = prepared(files)
    assert bundle.template is not None and bundle.template.source == "new"
    assert bundle.context_length == 77


def test_a_directory_without_tokenizer_json_is_left_to_the_engine(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert prepare_bundle(ModelFiles("m", tmp_path / "m", "hf")) is None


def test_broken_json_names_the_file(tmp_path: Path) -> None:
    files = huggingface(tmp_path / "m")
    (files.path / "config.json").write_text("{")
    with pytest.raises(ModelMissing, match=r"config\.json: not valid JSON"):
        prepare_bundle(files)


def test_a_cache_that_cannot_be_written(tmp_path: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    with pytest.raises(ResourceMissing, match="cannot be written"):
        prepare_bundle(gguf(tmp_path))


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="not a text bundle"):
        load_bundle(tmp_path)
