"""The hint for a process that failed. Pure."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dynamo_cli.logs.levels import level_of
from dynamo_cli.supervisor.hints import machine, memory, models
from dynamo_cli.supervisor.hints.rule import Advice, Failed, Rule

RULES: tuple[Rule, ...] = (*memory.RULES, *models.RULES, *machine.RULES)
"""In one line the first that matches counts."""
LINE = 2000
"""Characters of a line that are looked at: engines print their whole configuration in one."""
SIGNALS = {
    signal.SIGILL: "Illegal instruction",
    signal.SIGBUS: "Bus error",
}
"""What a shell writes of a process that such a signal ended; without one nobody writes it."""
FROM_ELSEWHERE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Nothing a process wrote explains why somebody ended it."""
WARNING = re.compile(r"^\S+:\d+: \w*Warning: ")
"""Python's own: what is warned of has not failed."""
OUT_OF_MEMORY = Advice(
    "the kernel ended it because memory ran out",
    "give it a shorter context, a smaller KV cache or a smaller model, start fewer replicas, or raise the limit",
)


class _Found(NamedTuple):
    rule: Rule
    advice: Advice


def hint_of(failed: Failed, code: int, *, oom: bool = False, condemned: bool = False) -> Advice | None:
    """What happened and what helps; None when nothing that is known did.

    The last failure in the lines counts: what came before it was survived. `oom`: the kernel killed it for memory;
    `condemned`: we did, for what it did not do.
    """
    if oom:
        return OUT_OF_MEMORY
    if -code in FROM_ELSEWHERE and not condemned:
        return None
    lines = [*failed.lines, SIGNALS[signal.Signals(-code)]] if -code in SIGNALS else failed.lines
    consequence = None
    for found in _found(failed, lines):
        if not found.rule.consequence:
            return found.advice
        consequence = consequence or found.advice
    return consequence


def _found(failed: Failed, lines: Sequence[str]) -> Iterator[_Found]:
    """From the last line to the first."""
    for line in reversed([line for line in lines if not _harmless(line)]):
        for rule in RULES:
            match = rule.pattern.search(line, 0, LINE)
            if match:
                # What only one engine says tells which one it is.
                yield _Found(rule, rule.advise(match, failed._replace(family=failed.family or rule.family)))
                break


def _harmless(line: str) -> bool:
    """Whether it says itself that nothing failed; a line without a level is judged by its words alone."""
    level = level_of(line)
    return WARNING.match(line) is not None or (level is not None and level < logging.ERROR)
