"""Metrics as values: what one frontend counted, what it told of that, and the sum of several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from dynamo_cli.frontend.metrics.families import BY_NAME
from dynamo_cli.runtime.histogram import Histogram

Labels: TypeAlias = tuple[str, ...]
Value: TypeAlias = "int | float | Histogram"
Samples: TypeAlias = "dict[str, dict[Labels, Value]]"
"""By name (without prefix), then by the values of its labels."""

_decoder: msgspec.msgpack.Decoder[dict[str, dict[tuple[str, ...], int | float | Histogram]]] = msgspec.msgpack.Decoder(
    dict[str, dict[tuple[str, ...], int | float | Histogram]]
)


def add(samples: Samples, name: str, labels: Labels, value: Value) -> None:
    """Put a value to those that are there; what has the same labels becomes one."""
    family, values = BY_NAME[name], samples.setdefault(name, {})
    there = values.get(labels)
    if there is None:
        values[labels] = value
    elif family.largest:
        values[labels] = max(there, value)  # type: ignore[type-var]
    else:
        values[labels] = there + value  # type: ignore[operator]


def added_up(several: Iterable[Samples]) -> Samples:
    """Exactly; what one of another version tells and we do not know is left out."""
    total: Samples = {}
    for samples in several:
        for name, values in samples.items():
            for labels, value in values.items():
                if _fits(name, labels, value):
                    add(total, name, labels, value)
    return total


def lasting(samples: Samples) -> Samples:
    """What still counts when the frontend is gone."""
    return {name: values for name, values in samples.items() if name in BY_NAME and BY_NAME[name].lasting}


def encode(samples: Samples) -> bytes:
    return msgspec.msgpack.encode(samples)


def decode(data: bytes) -> Samples:
    """Raises msgspec.MsgspecError for anything else."""
    return _decoder.decode(data)


def _fits(name: str, labels: Labels, value: Value) -> bool:
    family = BY_NAME.get(name)
    if family is None or len(labels) != len(family.labels):
        return False
    return isinstance(value, Histogram) == (family.kind == "histogram")
