"""Whether a process that ended is started again, and when. Pure: clock and chance are arguments."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from dynamo_cli.topology.process import RestartPolicy


class Exit(NamedTuple):
    """How one incarnation ended. `ready_s`: how long it had been READY, 0 when it never was.

    `permanent`: starting it again cannot help (its command line or its model is wrong).
    """

    code: int
    ready_s: float = 0.0
    permanent: bool = False


class Restart(NamedTuple):
    delay_s: float


class GiveUp(NamedTuple):
    """`failed` is False when the process ended as it may and nobody wants it back."""

    reason: str
    failed: bool = True


@dataclass
class RestartCounter:
    """Decides by the policy; failures are forgotten once an incarnation was READY for long enough (`stable_s`).

    Besides `max_restarts` within `window_s`, as many starts in a row that never got READY end it too: a process
    that needs longer than the window to fail must not be started for ever.
    """

    policy: RestartPolicy
    chance: Callable[[], float] = random.random
    total: int = 0
    _recent: list[float] = field(default_factory=list)
    _unready: int = 0

    def decide(self, exit: Exit, now: float) -> Restart | GiveUp:
        """What follows this exit at `now` (seconds of any monotonic clock)."""
        if exit.code in self.policy.success_codes and self.policy.mode != "always":
            return GiveUp("ended by itself", failed=False)
        if self.policy.mode == "no":
            return GiveUp("restart is off")
        if exit.permanent:
            return GiveUp("starting it again cannot help")
        self._forget(exit, now)
        if max(len(self._recent), self._unready) >= self.policy.max_restarts:
            return GiveUp(self._exhausted())
        delay = min(self.policy.backoff_s * 2.0 ** len(self._recent), self.policy.backoff_max_s)
        delay *= 1 + self.policy.jitter * (2 * self.chance() - 1)
        self._recent.append(now)
        self._unready += 1
        self.total += 1
        return Restart(delay)

    def _forget(self, exit: Exit, now: float) -> None:
        window = self.policy.window_s
        stable = window if self.policy.stable_s is None else self.policy.stable_s
        if exit.ready_s >= stable:
            self._recent.clear()
        if exit.ready_s > 0:
            self._unready = 0
        self._recent = [at for at in self._recent if now - at < window]

    def _exhausted(self) -> str:
        limit = self.policy.max_restarts
        restarts = f"{limit} restart{'s' if limit != 1 else ''}"
        if len(self._recent) >= limit:
            return f"gave up after {restarts} within {self.policy.window_s:g} s"
        return f"gave up after {restarts} that never got ready"
