"""The table of docs: `python -m dynamo_cli.supervisor.hints.page` prints it."""

from __future__ import annotations

import sys

from dynamo_cli.supervisor.hints.find import RULES
from dynamo_cli.supervisor.hints.rule import Failed, Rule

SHOWN = 110
"""Characters of an example."""


def table() -> str:
    """Markdown: what the engine writes, what it means, what helps."""
    rows = [_row(rule) for rule in RULES]
    return "\n".join(["| the engine writes | what happened | what helps |", "|---|---|---|", *rows])


def _row(rule: Rule) -> str:
    match = rule.pattern.search(rule.example)
    assert match, rule.name
    advice = rule.advise(match, Failed(rule.family, (), (rule.example,)))
    example = rule.example if len(rule.example) <= SHOWN else f"{rule.example[:SHOWN].rstrip()} …"
    code = f"`` {example} ``" if "`" in example else f"`{example}`"
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (code, advice.what, advice.do)) + " |"


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
