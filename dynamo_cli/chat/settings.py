"""How a chat samples, and the values it may be set to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from dynamo_cli.errors import UsageError
from dynamo_cli.topology.words import suggestion

DEFAULT = "default"
SEED_LIMIT = 2**63


class Knob(NamedTuple):
    """`want` says in words what `right` tests."""

    read: Callable[[str], float | int]
    right: Callable[[float], bool]
    want: str


KNOBS = {
    "temperature": Knob(float, lambda value: 0 <= value <= 2, "a number from 0 to 2"),
    "max_tokens": Knob(int, lambda value: value >= 1, "a whole number of at least 1"),
    "top_p": Knob(float, lambda value: 0 < value <= 1, "a number above 0, at most 1"),
    "seed": Knob(int, lambda value: -SEED_LIMIT < value < SEED_LIMIT, "a whole number of at most 64 bits"),
}


@dataclass(frozen=True)
class Settings:
    """None leaves a value to the server."""

    model: str
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None

    def sampling(self) -> dict[str, float | int]:
        """What differs from the server's own values, by the API's names."""
        return {name: value for name, value in asdict(self).items() if name in KNOBS and value is not None}

    def with_value(self, name: str, text: str) -> Settings:
        """The same with one value, `default` for the server's own. Raises UsageError."""
        value: Any = read_value(name, text)
        return replace(self, **{name: value})

    def words(self) -> str:
        values = self.sampling()
        return "  ".join(f"{name}={values.get(name, DEFAULT)}" for name in KNOBS)


def read_value(name: str, text: str) -> float | int | None:
    """Raises UsageError for a name or a value that cannot be set."""
    knob = KNOBS.get(name)
    if knob is None:
        raise UsageError(f"{name or 'nothing'} cannot be set{suggestion(name, KNOBS)}")
    if text == DEFAULT:
        return None
    try:
        value = knob.read(text)
    except ValueError:
        value = float("nan")
    if not knob.right(value):
        raise UsageError(f"{name}: expected {knob.want}, or {DEFAULT}; found {text or 'nothing'}")
    return value


def check(settings: Settings) -> Settings:
    """The same; UsageError for a value no server takes."""
    for name, value in settings.sampling().items():
        if not KNOBS[name].right(value):
            raise UsageError(f"--{name.replace('_', '-')} {value}: expected {KNOBS[name].want}")
    return settings
