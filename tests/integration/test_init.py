"""`dynamo init` as people run it: what it writes is planned, started and answers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from tests.estimate.gguf_models import Model
from tests.estimate.hf_models import write
from tests.hub.server import hub_server
from tests.integration.dynamo import Dynamo, ask

FILE = "smollm2-135m-instruct.toml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_the_default_model_on_this_machine_answers(dynamo: Dynamo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYN_LLAMACPP_THREADS", "1")
    written = dynamo.run("init", "--engine", "llamacpp", "--context", "1024")
    assert (written.code, written.err) == (0, ""), written.err
    assert written.out == (
        f"wrote {FILE}: llamacpp, 1 decode, 1,024 tokens of context\nnext: dynamo plan {FILE}, dynamo up {FILE}\n"
    )
    planned = dynamo.run("plan", FILE)
    assert (planned.code, planned.err) == (0, "")
    assert "4.0 of 1,024 tokens" in planned.out
    started = dynamo.run("up", "-d", FILE, "--set", "frontend.port=0", timeout_s=120)
    assert started.code == 0, started.err
    assert ask(dynamo.status()["url"], DEFAULT_MODEL).json()["choices"][0]["message"]["content"]
    assert dynamo.run("down").code == 0


def test_a_file_is_not_overwritten_unless_it_is_asked_for(dynamo: Dynamo) -> None:
    Path(FILE).write_text("mine")
    refused = dynamo.run("init", "--engine", "mock")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == f"dynamo: {FILE} is there already; --force overwrites it, -o FILE writes another one\n"
    assert Path(FILE).read_text() == "mine"
    assert dynamo.run("init", "--engine", "mock", "--force").code == 0
    assert 'engine   = "mock"' in Path(FILE).read_text()


def test_another_place_or_none(dynamo: Dynamo, tmp_path: Path) -> None:
    assert (
        dynamo.run("init", "-o", "no/where.toml").err
        == "dynamo: no/where.toml: cannot be written: No such file or directory\n"
    )
    printed = dynamo.run("init", "--engine", "mock", "-o", "-")
    assert printed.code == 0 and printed.out.startswith(f"# {DEFAULT_MODEL} on this machine: ")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["HuggingFaceTB/SmolLM2-135M-Instuct"], 5, f"did you mean {DEFAULT_MODEL}?"),
        (["smollm2-135m"], 5, f"did you mean {DEFAULT_MODEL}?"),
        (["./nothing.gguf"], 5, "no such file"),
        (["--engine", "vlm"], 2, "did you mean vllm"),
        (["--gpus", "8xH1000"], 2, "unknown GPU H1000"),
        (["--context", "9999999"], 2, "more than the 8192 tokens"),
        (["--context", "-1"], 2, "try dynamo init --help"),
    ],
)
def test_wrong_uses_get_a_line(
    dynamo: Dynamo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused = dynamo.run("init", *words)
    assert (refused.code, refused.out) == (code, "") and says in refused.err
    assert refused.err.count("\n") == 1 and os.listdir(tmp_path) == []


def test_a_model_in_hugging_face_format_on_a_machine_elsewhere(dynamo: Dynamo, tmp_path: Path) -> None:
    write(tmp_path / "model", Model("llama"))
    written = dynamo.run("init", "./model", "--gpus", "4xL40S", "--disagg", "-o", "it.toml")
    assert (written.code, written.err) == (0, "")
    planned = dynamo.run("plan", "it.toml", "--gpus", "4xL40S", "--json")
    assert (planned.code, planned.err) == (0, "")
    memory = {each["pool"]: each for each in json.loads(planned.out)["memory"]}
    assert {name: each["workers"] for name, each in memory.items()} == {"prefill": 1, "decode": 3}
    assert memory["decode"]["estimate"]["context"] == 8192


def test_a_model_that_only_the_hub_knows(dynamo: Dynamo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights stay where they are; what was told is remembered for `plan`, which asks nobody."""
    folder = write(tmp_path / "theirs", Model("llama", context=4096))
    files = {f"org/big/{file.name}": file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with hub_server(files) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        written = dynamo.run("init", "org/big", "--gpus", "1xL4")
    assert (written.code, written.err) == (
        0,
        "dynamo: warning: model org/big is not on this disk; run `dynamo pull org/big`\n",
    )
    planned = dynamo.run("plan", "big.toml", "--gpus", "1xL4", "--json")
    (memory,) = json.loads(planned.out)["memory"]
    assert memory["estimate"]["weights"] == len(files["org/big/model.safetensors"])
    assert memory["estimate"]["context"] == 4096


def test_a_hub_that_does_not_answer(dynamo: Dynamo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    written = dynamo.run("init", "org/big", "--gpus", "1xL4")
    assert written.code == 0
    first, second = written.err.splitlines()
    assert first.startswith(
        "dynamo: warning: the memory it needs is not known: model org/big: Hugging Face does not tell: "
    )
    assert second == "dynamo: warning: model org/big is not on this disk; run `dynamo pull org/big`"
    assert (
        "memory of decode is not known: model org/big is not on this disk"
        in dynamo.run("plan", "big.toml", "--gpus", "1xL4").out
    )
