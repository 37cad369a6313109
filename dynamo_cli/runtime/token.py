"""The deployment's secret: proves to a peer that it belongs to the same deployment."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from dynamo_cli.errors import ResourceMissing, Unauthorized


def load_token(path: Path, environ: Mapping[str, str] = os.environ) -> bytes:
    """$DYN_TOKEN, else the content of `path`, written atomically (0600) by whoever comes first."""
    if token := environ.get("DYN_TOKEN"):
        return token.encode()
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    try:
        _create(path)
    except OSError as error:
        raise ResourceMissing(f"cannot write the token file {path}: {error.strerror}") from None
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unauthorized(f"cannot read the token file {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(file.fileno())
        if facts.st_uid != os.getuid():
            raise Unauthorized(f"the token file {path} belongs to another user")
        if stat.S_IMODE(facts.st_mode) & 0o077:
            raise Unauthorized(f"the token file {path} is open to other users; run: chmod 600 {path}")
        token = file.read(4096).strip()
    if not token:
        raise Unauthorized(f"the token file {path} is empty; remove it")
    return token


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()
