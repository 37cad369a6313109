"""What is known of the model and the machine that a topology is drafted for."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dynamo_cli.errors import ModelMissing
from dynamo_cli.estimate.config import shape_of_config
from dynamo_cli.estimate.read import shape_or_reason
from dynamo_cli.estimate.shape import ModelShape, ShapeUnknown
from dynamo_cli.gpus.asking import read_gpus
from dynamo_cli.gpus.described import described_gpus
from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.hub.catalogue import CATALOGUE
from dynamo_cli.hub.described import describe
from dynamo_cli.hub.resolve import cached_names, is_path, looks_like_repository, resolve_model
from dynamo_cli.runtime.main_memory import read_memory
from dynamo_cli.workers.engines.registry import SPECS
from dynamo_cli.workers.engines.vllm.spec import VllmSpec

ALIKE = 0.85
"""difflib's ratio of names that are one but for a slip of the finger; other models' names are less alike."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """`model` as a topology says it. `shape`: of the model, or in words why it is not known; `kind` "" then too, unless
    the model is known by name. `is_here`: its files are on this disk.

    `described`: a machine that is not this one, so its `main_memory` (bytes available) is 0 and nobody knows what is
    `missing`: why an engine cannot start, by its name. `on_cpu`: the vLLM that is installed computes on the CPU.
    """

    model: str
    kind: str = ""
    shape: ModelShape | str = ""
    is_here: bool = True
    gpus: tuple[Gpu, ...] = ()
    gpu_reason: str = ""
    described: str = ""
    main_memory: int = 0
    missing: Mapping[str, str] = {}
    on_cpu: bool = False


def gather_facts(model: str, gpus: str) -> Facts:
    """`gpus`: words for another machine, "" for this one. Asks the hub about a model that is not on this disk.

    Raises ModelMissing for a name that means no model, UsageError for words that describe no GPUs.
    """
    driver = described_gpus(gpus) if gpus else read_gpus()
    known = _look_up(model)
    return msgspec.structs.replace(
        known,
        gpus=driver.gpus,
        gpu_reason=driver.reason,
        described=gpus,
        main_memory=0 if gpus else read_memory().usable,
        missing={} if gpus else {name: why for name, spec in SPECS.items() if (why := spec.available())},
        on_cpu=not gpus and not VllmSpec().gpus,
    )


def _look_up(model: str) -> Facts:
    try:
        files = resolve_model(model)
    except ModelMissing as missing:
        return _not_here(model, missing)
    name = str(files.path.absolute()) if is_path(model) else model
    return Facts(model=name, kind=files.kind, shape=shape_or_reason(files))


def _not_here(model: str, missing: ModelMissing) -> Facts:
    """By the catalogue, or as the hub tells it; raises `missing` for what is no name of a model."""
    if model in CATALOGUE:
        return Facts(model=model, kind="gguf", shape=str(missing), is_here=False)
    if is_path(model) or not looks_like_repository(model):
        raise missing
    try:
        told = describe(model)
        shape: ModelShape | str = shape_of_config(told.config, told.tensors)
    except ModelMissing as unknown:
        if guess := _meant(model):
            raise ModelMissing(f"{unknown}; did you mean {guess}?") from unknown
        return Facts(model=model, shape=str(unknown), is_here=False)
    except ShapeUnknown as unknown:
        return Facts(model=model, kind="hf", shape=str(unknown), is_here=False)
    return Facts(model=model, kind="hf", shape=shape, is_here=False)


def _meant(model: str) -> str | None:
    """The model that is known by nearly the same name."""
    from difflib import get_close_matches  # for mistakes alone

    return next(iter(get_close_matches(model, {*CATALOGUE, *cached_names()}, 1, ALIKE)), None)
