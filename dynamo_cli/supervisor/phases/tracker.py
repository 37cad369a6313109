"""How far one process has come in its start. Pure: lines and the clock are arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, get_args

from dynamo_cli.runtime.control import Progress
from dynamo_cli.supervisor.phases.rule import Phase, Rule

ORDER: tuple[Phase, ...] = get_args(Phase)
STEP = 10.0
"""Percent between two steps that are worth an event."""


class Stage(NamedTuple):
    """`phase` is "" while nothing is known. `news`: this is worth an event since the last look.

    `seconds` in this phase; `spent` in each until now, this one too.
    """

    phase: str = ""
    progress: Progress | None = None
    news: bool = False
    seconds: float = 0.0
    spent: Mapping[str, float] = MappingProxyType({})

    @property
    def words(self) -> str:
        """`weights 3/8`, `download 40 %`, `KV cache`."""
        if self.progress is None:
            return self.phase
        done, total = self.progress.done, self.progress.total
        return f"{self.phase} {done}/{total}" if total else f"{self.phase} {self.progress.percent:.0f} %"


class LoadTracker:
    def __init__(self, rules: Sequence[Rule], now: float) -> None:
        self._rules = rules
        self._phase: Phase | None = None
        self._progress: Progress | None = None
        self._since = now
        self._spent: dict[str, float] = {}
        self._said = ""
        self._told: tuple[str, float] = ("", 0.0)

    def hear(self, lines: Sequence[str], now: float) -> None:
        """What it has written since the last time."""
        text = "\n".join(lines)
        marks = [rule for rule in self._rules if rule.mark in text]
        if not marks:
            return
        for line in lines:
            for rule in marks:
                if rule.mark in line:
                    self._note(rule, line, now)

    def say(self, phase: str, now: float) -> None:
        """What it says itself; told again and again, and coarser than its lines, it never leads back."""
        if phase == self._said or phase not in ORDER:
            return
        self._said = phase
        if self._phase is None or ORDER.index(phase) > ORDER.index(self._phase):
            self._enter(phase, now)

    def look(self, now: float) -> Stage:
        """Where it is now."""
        percent = self._progress.percent if self._progress else 0.0
        phase, known = self._told
        news = (self._phase or "") != phase or percent >= known + STEP or (percent == 100.0 > known)
        if news:
            self._told = (self._phase or "", percent)
        seconds = round(now - self._since, 3) if self._phase else 0.0
        return Stage(self._phase or "", self._progress, news, seconds, self._durations(now))

    def _durations(self, now: float) -> dict[str, float]:
        spent = dict(self._spent)
        if self._phase:
            spent[self._phase] = spent.get(self._phase, 0.0) + now - self._since
        return {phase: round(seconds, 3) for phase, seconds in spent.items()}

    def _note(self, rule: Rule, line: str, now: float) -> None:
        progress = rule.progress(line)
        if rule.bar and progress is None:
            return  # a sentence that only holds the words of a bar
        if rule.phase != self._phase:
            self._enter(rule.phase, now)
        self._progress = progress or self._progress

    def _enter(self, phase: Phase, now: float) -> None:
        self._spent = self._durations(now)
        self._phase, self._progress, self._since = phase, None, now
