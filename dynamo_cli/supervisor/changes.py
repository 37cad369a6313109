"""The orders of people that take a while: one at a time for each pool, and what became of the latest."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Iterable

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.control import Change
from dynamo_cli.supervisor.events import EventBus

REMEMBERED = 8
logger = logging.getLogger("dynamo.supervisor")


class Changes:
    """`latest`: the last ones, those under way among them."""

    def __init__(self, bus: EventBus) -> None:
        self.latest: list[Change] = []
        self._bus = bus
        self._ids = itertools.count(1)

    def begin(self, what: str, pools: Collection[str]) -> Change:
        """UsageError while one of the pools is being changed."""
        self.refuse(pools)
        change = Change(id=next(self._ids), what=what, pools=list(pools))
        ended = [one for one in self.latest if one.done]
        for old in ended[: max(0, len(self.latest) + 1 - REMEMBERED)]:
            self.latest.remove(old)
        self.latest.append(change)
        self._tell("CHANGING", what)
        return change

    def refuse(self, pools: Iterable[str]) -> None:
        """UsageError when one of these pools is being changed."""
        for change in self.latest:
            busy = [pool for pool in pools if pool in change.pools and not change.done]
            if busy:
                raise UsageError(f"{busy[0]} is being changed ({change.what}); wait until that is done")

    def note(self, change: Change, line: str) -> None:
        """Something about the way it goes that people should know."""
        change.lines.append(line)
        self._tell("CHANGING", line)

    def end(self, change: Change, failed: str = "") -> None:
        change.done, change.failed = True, failed
        self._tell("UNCHANGED" if failed else "CHANGED", f"{change.what}{f': {failed}' if failed else ''}")

    def _tell(self, state: str, message: str) -> None:
        logger.info("%s: %s", state.lower(), message)
        self._bus.publish("", state, message)
