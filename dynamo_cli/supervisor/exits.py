"""What the end of a process says, in words and as an exit code. Pure."""

from __future__ import annotations

import signal

SIGNAL_NAMES = {s.value: s.name for s in signal.Signals}
PERMANENT = (2, 5)
"""Exit codes of our own components after which another start cannot help: wrong usage, missing engine or model."""

UNKNOWN = 1 << 8
"""No process ends with this code. How one ended that is not our child is told to its parent alone."""


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
    return code if code in (2, 4, 5) else 1
