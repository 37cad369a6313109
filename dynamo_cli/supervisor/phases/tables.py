"""Which phase table a process is read by."""

from __future__ import annotations

from collections.abc import Sequence

from dynamo_cli.supervisor.phases import download, llamacpp, sglang, trtllm, vllm
from dynamo_cli.supervisor.phases.rule import Rule

FAMILIES = {"vllm": vllm.RULES, "sglang": sglang.RULES, "trtllm": trtllm.RULES, "llamacpp": llamacpp.RULES}
PROGRAMS = {
    "vllm": "vllm",
    "sglang": "sglang",
    "trtllm": "trtllm",
    "tensorrt_llm": "trtllm",
    "llama-server": "llamacpp",
}
"""What the command of a program that is not ours holds, and its family."""
OWN_WORDS_ONLY = ("echo", "mock")


def family(engine: str, argv: Sequence[str]) -> str:
    """The engine family of a process, "" for one that cannot be told."""
    if engine in FAMILIES:
        return engine
    command = " ".join(argv)
    return next((name for program, name in PROGRAMS.items() if program in command), "")


def rules_of(engine: str, argv: Sequence[str]) -> tuple[Rule, ...]:
    """For a process of no known family those of all."""
    if engine in OWN_WORDS_ONLY:
        return download.RULES
    own = FAMILIES.get(family(engine, argv))
    if own is None:
        own = tuple(dict.fromkeys(rule for rules in FAMILIES.values() for rule in rules))
    return download.RULES + own
