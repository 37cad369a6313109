"""Bytes of which no two parts are alike."""

from __future__ import annotations

import random


def pattern(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)
