"""A worker's metrics: its own series, and those of its engine with labels that say whose they are."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping

_log = logging.getLogger("dynamo.worker")
_SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})?( .+)")
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
Source = Callable[[], str]


class WorkerMetrics:
    """`labels` go on every series of the engine that has none of that name."""

    def __init__(self, labels: Mapping[str, str], own: Source, engine: Source) -> None:
        self.labels = rendered(labels)
        self._labels = labels
        self._own = own
        self._engine = engine
        self._complained = False

    def text(self) -> bytes:
        """In Prometheus' text form. An engine that cannot tell costs only its own series."""
        try:
            of_engine = labelled(self._engine(), self._labels)
        except Exception:
            if not self._complained:
                self._complained = True
                _log.exception("the engine's metrics cannot be read")
            of_engine = ""
        return (self._own() + of_engine).encode()


def labelled(text: str, labels: Mapping[str, str]) -> str:
    """The same series with these labels before their own; those they have already are left as they are."""
    lines = [line if not line or line.startswith("#") else _with(line, labels) for line in text.splitlines()]
    return "\n".join([*lines, ""]) if lines else ""


def rendered(labels: Mapping[str, str]) -> str:
    """`{name="value",...}`."""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _with(line: str, labels: Mapping[str, str]) -> str:
    sample = _SAMPLE.fullmatch(line)
    if sample is None:
        return line
    name, own, rest = sample[1], sample[2] or "", sample[3]
    there = {label[1] for label in _LABEL.finditer(own)}
    added = rendered({label: value for label, value in labels.items() if label not in there})[1:-1]
    inside = ",".join(part for part in (added, own.strip().strip(",")) if part)
    return f"{name}{{{inside}}}{rest}" if inside else f"{name}{rest}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
