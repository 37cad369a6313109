"""Reads a check as the tables of these tests write it."""

from __future__ import annotations

from dynamo_cli.doctor.check import Check


def judge(check: Check, status: str, *words: str) -> None:
    """Its status, and that its detail or fix holds each of the words; a problem says what to do, the rest does not."""
    text = f"{check.detail} -> {check.fix}"
    assert check.status == status, check
    assert all(word in text for word in words), check
    assert bool(check.fix) == (check.status in ("warn", "error")), check
