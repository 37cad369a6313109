"""Amounts as people read them."""

from __future__ import annotations


def gibibytes(count: int) -> str:
    """`1.5 GiB`, below one GiB `300 MiB`."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
