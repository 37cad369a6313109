from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.doctor import engines
from dynamo_cli.doctor.check import GIB, MIB
from dynamo_cli.doctor.engines import Engine, engine_check, later_check, nixl_check, questions, read_engine
from dynamo_cli.doctor.guard import answers
from dynamo_cli.doctor.machine import Asked, Machine
from dynamo_cli.doctor.models import (
    Model,
    Token,
    models_check,
    reach,
    reach_check,
    read_models,
    read_token,
    settings_check,
    token_check,
)
from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.health import Driver, GpuHealth
from dynamo_cli.hub.catalogue import CATALOGUE, DEFAULT_MODEL
from dynamo_cli.workers.engines.registry import LATER, SPECS
from tests.doctor.judged import judge
from tests.hub.server import hub_server

TOKEN = "hf_" + "x" * 30


def test_engines() -> None:
    judge(engine_check(Engine("llamacpp", "llama.cpp", versions=["xllamacpp 1"])), "ok", "xllamacpp 1, llama.cpp")
    missing = "engine llamacpp is not installed; run `pip install 'dynamo-cli[cpu]'`"
    check = engine_check(Engine("llamacpp", "llama.cpp", missing))
    assert (check.detail, check.fix) == ("engine llamacpp is not installed", "pip install 'dynamo-cli[cpu]'")
    assert check.status == "warn"
    judge(later_check("sglang", ""), "skipped", "has no adapter in this release")
    judge(later_check("trtllm", "1.0"), "skipped", "although tensorrt_llm 1.0 is installed")


def test_an_engine_for_gpus() -> None:
    engine = Engine("vllm", "for GPUs", versions=["vllm 1"], gpus=1, cuda=13)
    health = GpuHealth(gpu=Gpu(index=0, uuid="GPU-a"))
    good = Driver(version="580.65", cuda="13.0", count=1, gpus=(health,))
    judge(engine_check(engine, good), "ok", "vllm 1, for GPUs")
    judge(engine_check(engine), "ok", "vllm 1, for GPUs")
    judge(engine_check(engine, Driver(cuda="?", count=1, gpus=(health,))), "ok")
    none = Driver(reason="no NVIDIA driver")
    judge(engine_check(engine, none), "warn", "there is none: no NVIDIA driver -> use engine llamacpp here")
    judge(engine_check(engine, Driver(version="580")), "warn", "there is none: the driver counts 0")
    broken = Driver(reason="the NVIDIA driver did not answer within 5 s", broken=True)
    judge(engine_check(engine, broken), "warn", "it needs a GPU, and the NVIDIA driver did not answer", "-> see driver")
    old = Driver(version="550.54", cuda="12.4", count=1, gpus=(health,))
    judge(
        engine_check(engine, old),
        "warn",
        "made for CUDA 13, and the driver 550.54 knows CUDA 12.4 -> install NVIDIA's driver 580 or newer",
    )
    judge(engine_check(engine._replace(gpus=0), none), "ok")


def test_what_an_installed_engine_for_gpus_is_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SPECS["llamacpp"]
    monkeypatch.setattr(type(spec), "available", lambda _: None)
    assert (read_engine(spec).gpus, read_engine(spec).cuda) == (0, 0)
    monkeypatch.setattr(type(spec), "gpus", 1)
    versions = {"nvidia-cuda-runtime-cu12": "12.8", "nvidia-cuda-runtime": "13.0"}
    monkeypatch.setattr(engines, "installed", lambda name: versions.get(name, ""))
    assert (read_engine(spec).gpus, read_engine(spec).cuda) == (1, 13)
    del versions["nvidia-cuda-runtime"]
    assert read_engine(spec).cuda == 12
    monkeypatch.setattr(type(spec), "available", lambda _: "it is not installed; run `x`")
    assert read_engine(spec).gpus == 0


def test_your_own_engine_can_always_start() -> None:
    check = engine_check(read_engine(SPECS["custom"]))
    judge(check, "ok", "options.target, a Python class or function")


def test_every_engine_is_asked_about() -> None:
    asked = [question.name for question in questions(Machine(Asked()))]
    assert asked == [*(f"engine-{name}" for name in (*SPECS, *LATER)), "transfer-nixl"]
    assert read_engine(SPECS["echo"]).missing == ""


def test_a_thorough_look_imports_what_an_engine_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SPECS["llamacpp"]
    monkeypatch.setattr(type(spec), "available", lambda _: None)
    monkeypatch.setattr(type(spec), "modules", ("json", "no_such_module"))
    question = next(iter(questions(Machine(Asked(thorough=True)))))
    engine, imported = answers(question, 20)
    assert (engine.status, imported.status, imported.name) == ("ok", "error", "import-llamacpp")
    assert imported.detail == "no_such_module: ModuleNotFoundError: No module named 'no_such_module'"
    (quick,) = answers(next(iter(questions(Machine(Asked())))), 20)
    assert quick == engine


def test_models() -> None:
    judge(models_check([Model("a/b", 3 * GIB), Model("c/d", 5 * MIB)]), "ok", "a/b (3.0 GiB), c/d (5 MiB)")
    judge(models_check([]), "warn", "-> dynamo pull")
    judge(models_check([Model("a/b", MIB, whole=False)]), "warn", "a/b (1 MiB) is not whole -> dynamo pull a/b")


def test_models_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    assert list(read_models()) == []
    for file in (f"dynamo/models/{CATALOGUE[DEFAULT_MODEL].file}", "huggingface/hub/models--org--name/blobs/abc"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_bytes(bytes(100))
    assert list(read_models()) == [Model(DEFAULT_MODEL, 100, whole=False), Model("org/name", 100)]


def test_nixl() -> None:
    judge(nixl_check("1.5.1"), "ok", "nixl 1.5.1", 'transfer = "nixl"')
    judge(nixl_check(""), "skipped", "not installed", "over TCP", "pip install --no-deps nixl")


def test_tokens() -> None:
    judge(token_check(Token()), "skipped", "none")
    judge(token_check(Token("HF_TOKEN")), "ok", "from HF_TOKEN")
    judge(
        token_check(Token("HF_TOKEN", "malformed")),
        "warn",
        "HF_TOKEN holds what does not look like one -> hf auth login, or correct HF_TOKEN",
    )
    judge(token_check(Token("/token", "unreadable")), "warn", "/token cannot be read")
    judge(token_check(Token("/token", "open")), "warn", "chmod 600 /token")


def test_where_the_token_comes_from(tmp_path: Path) -> None:
    home = {"HF_HOME": str(tmp_path)}
    assert read_token(home) == Token()
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o644)
    assert read_token(home) == Token(str(file), "open")
    file.chmod(0o600)
    assert read_token(home) == Token(str(file))
    assert read_token({**home, "HF_TOKEN": TOKEN}) == Token("HF_TOKEN")
    assert read_token({**home, "HF_TOKEN": f"{TOKEN} x"}) == Token("HF_TOKEN", "malformed")
    assert read_token({**home, "HF_TOKEN": "secret"}) == Token("HF_TOKEN", "malformed")


def test_settings() -> None:
    judge(settings_check({}), "ok", "cache ")
    judge(settings_check({"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://m"}), "ok", "HF_HUB_OFFLINE=1", "HF_ENDPOINT=")
    judge(settings_check({"HF_ENDPOINT": "mirror"}), "warn", "not a URL")


def test_the_way_to_hugging_face() -> None:
    judge(reach_check("http://m", ""), "ok", "http://m answers")
    judge(reach_check("http://m", "refused"), "warn", "http://m cannot be reached: refused")
    assert "refused" in reach("http://127.0.0.1:1")
    assert reach("not a url") != ""
    with hub_server({}) as url:
        assert reach(url) == ""
