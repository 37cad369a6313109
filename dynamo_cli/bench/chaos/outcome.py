"""What clients saw of a fault, added up. Pure: times are those of one clock, in seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

CONNECTION_ERRORS = ("connection lost", "cannot connect")
NOT_YET_S, MARGIN_S = 0.1, 0.5
"""So much after the kill a client may still send on a connection whose end it has not read of, and read of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request. `begun`: something of a streamed answer came. `differs`: complete, but not the right answer."""

    started: float
    ended: float
    error: str = ""
    detail: str = ""
    begun: bool = False
    longest_gap_s: float = 0.0
    first_s: float | None = None
    differs: bool = False

    @property
    def cut(self) -> bool:
        return bool(self.error) and self.begun


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """`failed`: requests without an answer; `cut`: streams that broke off. `with_frontend`: those of both whose
    connection ended because its frontend was killed. `errors`: how often which words were the reason of another one."""

    requests: int
    failed: int
    cut: int
    with_frontend: int
    longest_gap_s: float
    longest_first_s: float
    differ: int
    errors: dict[str, int]

    @property
    def lost(self) -> int:
        """What should have been saved."""
        return self.failed + self.cut - self.with_frontend


def seen(outcomes: Sequence[Outcome], frontend_kills: Sequence[float] = ()) -> Seen:
    """`frontend_kills`: when a frontend was killed."""
    bad = [each for each in outcomes if each.error]
    excused = [each for each in bad if _with_frontend(each, frontend_kills)]
    unexcused = Counter(f"{each.error}: {each.detail}"[:160] for each in bad if each not in excused)
    return Seen(
        requests=len(outcomes),
        failed=sum(not each.cut for each in bad),
        cut=sum(each.cut for each in bad),
        with_frontend=len(excused),
        longest_gap_s=max((each.longest_gap_s for each in outcomes), default=0.0),
        longest_first_s=max((each.first_s or 0.0 for each in outcomes), default=0.0),
        differ=sum(each.differs for each in outcomes),
        errors=dict(unexcused.most_common(5)),
    )


def _with_frontend(outcome: Outcome, kills: Sequence[float]) -> bool:
    lost = outcome.error in CONNECTION_ERRORS
    return lost and any(
        outcome.started <= kill + NOT_YET_S and kill <= outcome.ended <= kill + MARGIN_S for kill in kills
    )
