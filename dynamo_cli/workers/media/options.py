"""What a worker may fetch for its requests: nothing, unless it is told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dynamo_cli.errors import InvalidRequest, UsageError
from dynamo_cli.protocol.media import MOST_BYTES, Media, Scheme
from dynamo_cli.runtime.http.limits import MIB, number
from dynamo_cli.runtime.switches import is_on
from dynamo_cli.workers.numeric import seconds


@dataclass(frozen=True)
class MediaOptions:
    """`urls`: https of public addresses. `internal`: any address, and http. `directory`: file: URLs below it.

    `most_bytes` and `timeout_s` are of one of them.
    """

    urls: bool = False
    internal: bool = False
    directory: Path | None = None
    most_bytes: int = MOST_BYTES
    timeout_s: float = 10.0

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        from_network: tuple[Scheme, ...] = ("https", "http") if self.internal else ("https",) if self.urls else ()
        return (*from_network, "file") if self.directory is not None else from_network


def media_options(environ: Mapping[str, str] = os.environ) -> MediaOptions:
    """Raises UsageError, which names the variable."""
    path = environ.get("DYN_MM_LOCAL_PATH", "")
    directory = Path(path).expanduser().absolute() if path else None
    if directory is not None and not directory.is_dir():
        raise UsageError(f"DYN_MM_LOCAL_PATH {path}: there is no such directory")
    most = number("DYN_MM_MAX_FILE_SIZE_MB", MOST_BYTES / MIB, environ)
    if not 0 < most <= MOST_BYTES / MIB:
        raise UsageError(f"DYN_MM_MAX_FILE_SIZE_MB {most:g} is not more than 0 and at most {MOST_BYTES // MIB}")
    return MediaOptions(
        urls=is_on("DYN_MM_ALLOW_URLS", environ),
        internal=is_on("DYN_MM_ALLOW_INTERNAL", environ),
        directory=directory,
        most_bytes=int(most * MIB),
        timeout_s=max(0.1, seconds(environ, "DYN_MM_FETCH_TIMEOUT_SECS", MediaOptions.timeout_s)),
    )


def too_large(media: Media, options: MediaOptions) -> InvalidRequest:
    return InvalidRequest(f"{media.kind}: it has more than {options.most_bytes} bytes")
