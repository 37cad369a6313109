"""Reads the few families of a Prometheus text that somebody wants, and skips all others."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from dynamo_cli.supervisor.measuring.buckets import Buckets

_LABEL = r'(?:^|,){}="((?:[^"\\]|\\.)*)"'
Samples = Mapping[str, list[tuple[str, float]]]


class Reader:
    """`names`: those of the samples that are wanted; of a histogram X its X_bucket."""

    def __init__(self, names: Collection[str]) -> None:
        wanted = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
        self._sample = re.compile(rf"^({wanted})(?:\{{(.*)\}})? ([^ \n]+)(?: -?\d+)?$", re.MULTILINE)

    def read(self, text: bytes) -> Families:
        """Lines that are no samples are passed over, as are values that are no numbers."""
        samples: dict[str, list[tuple[str, float]]] = {}
        for name, labels, value in self._sample.findall(text.decode("utf-8", "replace")):
            number = _number(value)
            if number is not None:
                samples.setdefault(name, []).append((labels, number))
        return Families(samples)


class Families:
    """`samples` by name, each with its labels as they were written."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __contains__(self, name: str) -> bool:
        return name in self._samples

    def total(self, name: str) -> float:
        """Over all labels, 0 where there is no sample: who has counted nothing tells nothing."""
        return sum(value for _, value in self._samples.get(name, ()))

    def by(self, name: str, label: str) -> dict[str, float]:
        """Totals by the values of one label, "" where it is missing."""
        found: dict[str, float] = {}
        for labels, value in self._samples.get(name, ()):
            key = _value(labels, label)
            found[key] = found.get(key, 0.0) + value
        return found

    def buckets(self, name: str) -> Buckets:
        """Of the histogram `name`, added up over all labels but the bounds."""
        counts: dict[float, float] = {}
        for bound, count in self.by(f"{name}_bucket", "le").items():
            upper = _number(bound)
            if upper is not None:
                counts[upper] = counts.get(upper, 0.0) + count
        return Buckets(tuple(sorted(counts)), tuple(counts[bound] for bound in sorted(counts)))


def _value(labels: str, label: str) -> str:
    found = re.search(_LABEL.format(label), labels)
    return found[1] if found else ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
