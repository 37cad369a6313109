"""What the frontends have told of their counts, on disk: a counter that was seen must never be seen lower.

A frontend writes before it tells. When it is gone, or hangs, the others go on with what it wrote, and the next process
of its name begins there. So only what nobody has seen is lost when one is killed. The files go with the deployment.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import msgspec

from dynamo_cli.frontend.metrics.samples import Samples, decode, encode, lasting

log = logging.getLogger(__name__)


class Kept:
    """`file` is this frontend's own; the others are beside it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._warned = False

    def read(self, file: Path | None = None) -> Samples:
        """Empty when nothing readable is there, or when it was written by another version."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return decode((file or self._file).read_bytes())
        return {}

    def others(self) -> list[Path]:
        """The files of every other frontend there was."""
        return sorted(set(self._file.parent.glob(f"*{self._file.suffix}")) - {self._file})

    def write(self, samples: Samples) -> None:
        fresh = self._file.with_name(f"{self._file.name}~")
        try:
            fresh.write_bytes(encode(lasting(samples)))
            fresh.replace(self._file)
        except OSError as error:
            if not self._warned:
                log.warning("the counts of this frontend end with its process: %s: %s", self._file, error.strerror)
            self._warned = True
