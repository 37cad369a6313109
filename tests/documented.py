"""The code blocks of docs/, as a reader would save them."""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks(page: str, language: str) -> list[str]:
    """Those of a page of docs/ in one language, in order."""
    return [text for kind, text in BLOCK.findall((DOCS / page).read_text()) if kind == language]


def write_block(page: str, language: str, number: int, name: str) -> Path:
    """The block in a file of that name, in a directory that goes with this process."""
    file = Path(_directory().name, name)
    file.write_text(blocks(page, language)[number])
    return file


@cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="dyn-docs-")
