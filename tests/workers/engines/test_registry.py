from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from dynamo_cli.errors import EngineMissing, UsageError
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch


def test_every_engine_is_found_by_its_name() -> None:
    assert set(registry.SPECS) == {"llamacpp", "mock", "echo", "custom"}
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
    with pytest.raises(EngineMissing, match="GGUF"):
        registry.choose(0, "hf")


def test_custom_has_no_engine_in_a_host() -> None:
    with pytest.raises(UsageError, match="engine custom: this engine needs target"):
        registry.spec("custom").create(EngineLaunch(model_name="m"))


def test_specs_import_no_engine() -> None:
    code = "import sys, dynamo_cli.workers.engines.registry; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {name for name in loaded if name.endswith(".engine") and "engines" in name}
    assert not {"xllamacpp", "tokenizers", "dynamo_cli.workers.host"} & set(loaded)
