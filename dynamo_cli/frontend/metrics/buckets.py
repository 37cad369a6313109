"""The bounds of histogram buckets: the reference's, which DYN_METRICS_<NAME>_MIN, _MAX and _COUNT change."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.http.limits import number

Bounds = tuple[float, ...]
MOST = 512
TOKENIZE_S: Bounds = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
TOKENIZE_MS: Bounds = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
TEMPLATE_S: Bounds = (0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05)
STAGE_S: Bounds = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0)
LOOP_DELAY_S: Bounds = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def log_spaced(least: float, most: float, count: int) -> Bounds:
    """0, then `count` - 1 steps of equal ratio from above `least` to `most`, each of two significant digits.

    What rounding makes equal is there once.
    """
    if count == 1:
        return (0.0,)
    step = math.log(most / least) / (count - 1)
    bounds = [float(f"{least * math.exp(step * at):.1e}") for at in range(1, count)]
    return (0.0, *dict.fromkeys(bounds))


@dataclass(frozen=True)
class Buckets:
    """Those that can be set; seconds or tokens."""

    request_duration: Bounds
    first_token: Bounds
    between_tokens: Bounds
    input_length: Bounds
    output_length: Bounds

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Buckets:
        """Raises UsageError, which names the variable."""
        return cls(
            request_duration=_bounds("REQUEST_DURATION", 1.0, 512.0, 10, environ),
            first_token=_bounds("TTFT", 0.001, 480.0, 18, environ),
            between_tokens=_bounds("ITL", 0.001, 2.0, 13, environ),
            input_length=_bounds("INPUT_SEQUENCE", 50.0, 128_000.0, 12, environ),
            output_length=_bounds("OUTPUT_SEQUENCE", 50.0, 32_000.0, 10, environ),
        )


def _bounds(name: str, least: float, most: float, count: int, environ: Mapping[str, str]) -> Bounds:
    prefix = f"DYN_METRICS_{name}"
    least = _setting(prefix, "MIN", least, environ)
    most = _setting(prefix, "MAX", most, environ)
    wanted = _setting(prefix, "COUNT", count, environ)
    if not 0 < least < most:
        raise UsageError(f"{prefix}_MIN {least:g} and {prefix}_MAX {most:g}: want 0 < MIN < MAX")
    if not (wanted.is_integer() and 1 <= wanted <= MOST):
        raise UsageError(f"{prefix}_COUNT {wanted:g} must be a whole number from 1 to {MOST}")
    return log_spaced(least, most, int(wanted))


def _setting(prefix: str, end: str, default: float, environ: Mapping[str, str]) -> float:
    """The reference knows several spellings."""
    spellings = prefix, prefix.replace("DYN_METRICS_", "DYN_HISTOGRAM_"), f"DYN_HISTOGRAM_{prefix}"
    variable = next((f"{spelled}_{end}" for spelled in spellings if environ.get(f"{spelled}_{end}")), "")
    return number(variable, float(default), environ)


DEFAULT_BUCKETS = Buckets.from_environment({})
