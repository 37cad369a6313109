"""`python -m dynamo_cli.supervisor.hints.page`: docs/troubleshooting.md, made of the table of hints."""

from __future__ import annotations

import sys

from dynamo_cli.supervisor.hints.find import RULES
from dynamo_cli.supervisor.hints.rule import Failed, Rule

_HEAD = """\
# When a process fails

<!-- made by `make troubleshooting` -->

`dynamo status` says of each process in one line how it ended and, for the failures below, what helps; `status --json`
has that as `hint`. Of each failure a directory is kept, named in `status` (`evidence`): `summary.txt` to read,
`crash.json` with everything, `output.log` with the last 200 lines. `dynamo logs --crash SERVICE` shows the last one.
Values of variables and flags that are named like secrets are covered in them, and of variables that do not say how
engines run only the names are there; look at the lines before you send them to others.

What helps is computed from the numbers of the message and the flags of the process where they are there. Warnings and
what a process survived give no hint.

"""
SHOWN = 110
"""Characters of an example."""


def page() -> str:
    return f"{_HEAD}{table()}\n"


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
    sys.stdout.write(page())
