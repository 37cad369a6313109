"""What both sides are asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """`requests` of about `isl` prompt tokens, `concurrency` streams at a time, each of exactly `osl` tokens."""

    requests: int
    concurrency: int
    isl: int
    osl: int
