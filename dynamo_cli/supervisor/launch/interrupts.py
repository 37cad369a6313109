"""Ctrl-C and SIGTERM for one who starts what it must end again: heard when it knows what that is, and not before."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """`exit_code`: of a command that the signal ended."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.exit_code = 128 + signum


class Interrupts:
    """A context manager of the main thread. `noted`: the first signal that came before they were let in.

    What was ignored stays so.
    """

    def __init__(self) -> None:
        self.noted: int | None = None
        self._let_in = False

    def __enter__(self) -> Interrupts:
        wanted = [signum for signum in SIGNALS if signal.getsignal(signum) is not signal.SIG_IGN]
        self._before = {signum: signal.signal(signum, self._heard) for signum in wanted}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def let_in(self) -> None:
        """From now on each raises Interrupted where it comes, and one that came already does here."""
        self._let_in = True
        if self.noted is not None:
            raise Interrupted(self.noted)

    def keep_out(self) -> None:
        """From now on they come too late: they are noted and change nothing."""
        self._let_in = False

    def _heard(self, signum: int, frame: FrameType | None) -> None:
        if self._let_in:
            raise Interrupted(signum)
        self.noted = self.noted or signum
