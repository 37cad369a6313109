"""Colours and symbols: calm, one accent, and no state that only a colour tells."""

from __future__ import annotations

import logging
from typing import NamedTuple

from textual.theme import BUILTIN_THEMES, Theme

DARK = Theme(
    name="dynamo-dark",
    primary="#7ab8d6",
    secondary="#8fa3b5",
    accent="#7ab8d6",
    success="#8dbf8b",
    warning="#d8b36a",
    error="#e08585",
    foreground="#d3d9e0",
    background="#11161b",
    surface="#11161b",
    panel="#1b232b",
    boost="#1b232b",
    dark=True,
    variables={
        "rule": "#34404b",
        "quiet": "#84919e",
        "cursor": "#24323d",
        "graph": "#55839b",
        "footer-key-foreground": "#7ab8d6",
        "footer-background": "#11161b",
        "footer-description-foreground": "#84919e",
        "footer-description-background": "#11161b",
        "footer-item-background": "#11161b",
        "footer-key-background": "#11161b",
        "screen-selection-background": "#34566b",
        "screen-selection-foreground": "#ffffff",
    },
)
LIGHT = Theme(
    name="dynamo-light",
    primary="#1f6f94",
    secondary="#566573",
    accent="#1f6f94",
    success="#2f7a3d",
    warning="#8a5f00",
    error="#b0362f",
    foreground="#2a3138",
    background="#fafaf7",
    surface="#fafaf7",
    panel="#eeeeea",
    boost="#eeeeea",
    dark=False,
    variables={
        "rule": "#c9ccc9",
        "quiet": "#6b757e",
        "cursor": "#dde8ee",
        "graph": "#6fa3bd",
        "footer-key-foreground": "#1f6f94",
        "footer-background": "#fafaf7",
        "footer-description-foreground": "#6b757e",
        "footer-description-background": "#fafaf7",
        "footer-item-background": "#fafaf7",
        "footer-key-background": "#fafaf7",
        "screen-selection-background": "#b9d6e4",
        "screen-selection-foreground": "#11161b",
    },
)
PLAIN = Theme(
    name="dynamo-plain",
    ansi=True,
    primary="ansi_default",
    secondary="ansi_default",
    accent="ansi_default",
    success="ansi_default",
    warning="ansi_default",
    error="ansi_default",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    variables={
        **BUILTIN_THEMES["ansi-dark"].variables,
        **dict.fromkeys(("rule", "quiet", "cursor", "graph"), "ansi_default"),
    },
)
"""For NO_COLOR: what is to stand out is bold or reversed."""

QUIET, RULE, GRAPH = "$quiet", "$rule", "$graph"
GOOD, BUSY, BAD, ACCENT = "$success", "$warning", "$error", "$accent"


class Mark(NamedTuple):
    symbol: str
    style: str


MARKS = {
    "PENDING": Mark("○", QUIET),
    "STARTING": Mark("◔", BUSY),
    "LOADING": Mark("◑", BUSY),
    "READY": Mark("●", GOOD),
    "DEGRADED": Mark("▲", BAD),
    "DRAINING": Mark("◌", BUSY),
    "STOPPING": Mark("◌", BUSY),
    "BACKOFF": Mark("↻", BAD),
    "FAILED": Mark("✗", f"bold {BAD}"),
    "STOPPED": Mark("■", QUIET),
}
SERVICE_COLOURS = {
    True: ("#8fb4d9", "#c3a6d8", "#9cc7a4", "#d4bd8a", "#8cc5c5", "#d6a3b3"),
    False: ("#2e5f8f", "#6f4a93", "#2f6e45", "#7a5c10", "#1d6b6b", "#8f3f5a"),
}
"""In front of merged lines, by whether the theme is dark."""


def mark(state: str) -> Mark:
    return MARKS.get(state, Mark("?", QUIET))


def level_tone(level: int | None) -> str:
    """The name of the style of a log line: see the component classes of LogPane."""
    if level is None:
        return "note"
    if level >= logging.ERROR:
        return "error"
    if level >= logging.WARNING:
        return "warning"
    return "debug" if level < logging.INFO else "info"
