"""What the end of a process says, in words and as an exit code. Pure."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NamedTuple

from dynamo_cli.supervisor.hints.rule import Advice

SIGNAL_NAMES = {s.value: s.name for s in signal.Signals}
LAST_LINE = 300
"""Characters of the last line that are told."""
CLEAR = (2, 4, 5)
"""Exit codes with which our own components say in one line what is wrong and what helps."""
PERMANENT = (2, 5)
"""Exit codes of our own components after which another start cannot help: wrong usage, missing engine or model."""

INTERRUPTED = 128 + signal.SIGINT
UNKNOWN = 1 << 8
"""No process ends with this code. How one ended that is not our child is told to its parent alone."""


class Ending(NamedTuple):
    """How a process ended: in its own words, and, where they are no help, in ours. `hint` "" when nothing is known.

    `lines`: the last it wrote.
    """

    words: str
    reason: str
    hint: str = ""
    lines: tuple[str, ...] = ()


def ending(
    code: int, lines: Sequence[str], *, oom: str = "", verdict: str = "", advice: Advice | None = None, clear: bool
) -> Ending:
    """`verdict`: why we ended it; `clear`: its last line says already what helps, as our own components' do."""
    words = verdict or explain(code, lines[-1][:LAST_LINE] if lines else "", oom)
    if advice is None or clear:
        reason = words
    elif oom:
        reason = f"{words}; {advice.do}"
    else:
        reason = f"{verdict or explain(code)}: {advice}"
    return Ending(words, reason, str(advice) if advice else "", tuple(lines))


def explain(code: int, last_line: str = "", oom: str = "") -> str:
    """`killed by SIGKILL`, or `exited with code 3: <last line>`; `code` is negative for a signal.

    `oom`: why the kernel killed for want of memory while the process ran, empty when it did not.
    """
    if code == UNKNOWN:
        words = "ended, how is not known, as it was started by the supervisor before this one"
        return f"{words}: {last_line}" if last_line else words
    if code < 0:
        words = f"killed by {SIGNAL_NAMES.get(-code, f'signal {-code}')}"
        return f"{words}: {oom}" if oom and -code == signal.SIGKILL else words
    words = f"exited with code {code}"
    return f"{words}: {last_line}" if last_line and code else words


def exit_class(code: int | None) -> int:
    """The exit code of a command that failed because a child ended with `code`."""
    return code if code in CLEAR else 1
