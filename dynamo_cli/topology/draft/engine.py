"""Which engine a drafted topology has, and why. No I/O."""

from __future__ import annotations

from dynamo_cli.errors import UsageError
from dynamo_cli.estimate.shape import ModelShape
from dynamo_cli.topology.draft.facts import Facts
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineSpec

DRAFTED = ("llamacpp", "vllm", "mock")
CONVERTED = "llama"
"""The architecture of the GGUF files that can be converted for vLLM."""
FORMS = {"gguf": "a GGUF file", "hf": "in Hugging Face format"}


def choose_engine(facts: Facts, wanted: str) -> tuple[EngineSpec, str]:
    """The engine and why it is this one. Raises UsageError for one that cannot read the model."""
    if wanted != "auto":
        return _asked(facts, wanted), "asked for with --engine"
    where = f"{len(facts.gpus)} GPU{'s' * (len(facts.gpus) > 1)}" if facts.gpus else "no GPU"
    if facts.kind == "hf":
        return registry.SPECS["vllm"], f"the model is {FORMS['hf']}; {where}"
    if facts.kind == "gguf" and facts.gpus and _can_convert(facts) and "vllm" not in facts.missing:
        return registry.SPECS["vllm"], f"{where}; it converts the GGUF file to bfloat16 before it first loads it"
    if facts.kind == "gguf":
        unused = ", which llama.cpp does not use in this release" if facts.gpus else ""
        return registry.SPECS["llamacpp"], f"the model is {FORMS['gguf']}; {where}{unused}"
    return registry.SPECS["vllm" if facts.gpus else "llamacpp"], f"a guess: the model is not on this disk; {where}"


def _asked(facts: Facts, wanted: str) -> EngineSpec:
    spec = registry.spec(wanted)
    if spec.name not in DRAFTED:
        raise UsageError(f"init drafts no topologies for engine {wanted}; it does for {', '.join(DRAFTED)}")
    readable = not spec.formats or facts.kind in ("", *spec.formats)
    if not readable and not (facts.kind == "gguf" and spec.name == "vllm" and _can_convert(facts)):
        readers = [each.name for each in registry.SPECS.values() if facts.kind in each.formats]
        raise UsageError(
            f"model {facts.model} is {FORMS[facts.kind]}, which engine {wanted} does not read; "
            f"use --engine {' or '.join(readers)}"
        )
    return spec


def _can_convert(facts: Facts) -> bool:
    """Whether it is of the family that can be, as far as is known."""
    return not isinstance(facts.shape, ModelShape) or facts.shape.architecture == CONVERTED
