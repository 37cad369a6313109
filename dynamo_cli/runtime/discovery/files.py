"""One file per key: names, envelopes, and the atomic ways of writing and removing them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

import msgspec

from dynamo_cli.errors import DiskFull, ResourceMissing
from dynamo_cli.runtime.discovery.owner import Owner, is_dead

_TEMPORARY = ".tmp_"
_LARGEST_FILE = 16 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PASSED_OVER = (FileNotFoundError, NotADirectoryError, PermissionError)
"""Gone, or somebody else's. What else keeps from reading may be over in a moment."""


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """`version` is unique to each write."""

    version: str
    owner: Owner
    value: bytes


class FileFacts(NamedTuple):
    inode: int
    mtime_ns: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode


def new_envelope(owner: Owner, value: bytes) -> Envelope:
    return Envelope(secrets.token_hex(8), owner, value)


class KeyFiles:
    """The directory tree of a store: `root/<word>/<word>/<rest of the key, percent-escaped>`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        first, second, rest = key.split("/", 2)
        name = quote(rest, safe="")
        return self.root / first / second / ("%2E" + name[1:] if name.startswith(".") else name)

    def scan(self, prefix: str) -> Iterator[tuple[str, str, FileFacts]]:
        """Every key file under a prefix. Files of other users, temporary and foreign files are passed over.

        Raises OSError when it cannot be looked at, which says nothing of what is there.
        """
        for bucket in self._buckets(prefix):
            with contextlib.suppress(*_PASSED_OVER), os.scandir(self.root / bucket) as entries:
                for entry in entries:
                    key = _key(bucket, entry.name)
                    if key.startswith(prefix) and not entry.name.startswith(".") and (facts := _facts(entry)):
                        yield key, entry.path, facts

    def stamp(self, prefix: str) -> tuple[int, int] | None:
        """Changes when a key under the prefix is put or deleted, not when one is touched; None when it would not tell.

        The kernel's time stands still for some milliseconds, and so may this.
        """
        parts = prefix.split("/", 2)
        if len(parts) < 3:
            return None
        try:
            facts = os.stat(f"{self.root}/{parts[0]}/{parts[1]}")
        except OSError:
            return 0, 0
        return facts.st_ino, facts.st_mtime_ns

    def _buckets(self, prefix: str) -> list[str]:
        parts = prefix.split("/", 2)
        if len(parts) == 3:
            return ["/".join(parts[:2])]
        return [
            bucket
            for first in _directories(self.root)
            for second in _directories(self.root / first)
            if (bucket := f"{first}/{second}").startswith(prefix)
        ]

    def read(self, path: str | Path) -> Envelope | None:
        """None when it is gone, somebody else's or no envelope. Raises OSError when it may be there all the same."""
        try:
            with open(path, "rb") as file:
                return _decode(file.read(_LARGEST_FILE))
        except (*_PASSED_OVER, msgspec.DecodeError):
            return None

    def replace(self, path: Path, envelope: Envelope) -> int:
        """Write, replacing what is there; returns the inode. Raises ResourceMissing; DiskFull when waiting may help."""
        with _temporary(path, envelope) as fresh:
            inode = fresh.stat().st_ino
            fresh.rename(path)
        return inode

    def create(self, path: Path, envelope: Envelope) -> int | None:
        """Write if absent, atomically; returns the inode, None when the key is there and its owner not dead."""
        with _temporary(path, envelope) as fresh:
            if _link(fresh, path) or (self._reap_if_dead(path) and _link(fresh, path)):
                return fresh.stat().st_ino
        return None

    def _reap_if_dead(self, path: Path) -> bool:
        found = self.read(path)
        if found is None or not is_dead(found.owner):
            return False
        self.reap(path, found.version)
        return True

    def reap(self, path: str | Path, version: str) -> None:
        """Remove another owner's file, if it still is the version that was judged dead."""
        with contextlib.suppress(OSError), open(self.root / ".lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = self.read(path)
            if found is not None and found.version == version:
                os.unlink(path)


@contextlib.contextmanager
def _temporary(path: Path, envelope: Envelope) -> Iterator[Path]:
    fresh = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_encode(envelope))
        yield fresh
    except OSError as error:
        kind = DiskFull if error.errno in _FULL else ResourceMissing
        raise kind(f"cannot write to discovery at {path.parent}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()


def _link(fresh: Path, path: Path) -> bool:
    try:
        os.link(fresh, path)
    except FileExistsError:
        return False
    return True


def _directories(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except _PASSED_OVER:
        return []


@lru_cache(4096)
def _key(bucket: str, name: str) -> str:
    return f"{bucket}/{unquote(name)}"


def _facts(entry: os.DirEntry[str]) -> FileFacts | None:
    try:
        facts = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    if facts.st_uid != os.geteuid() or not stat.S_ISREG(facts.st_mode):
        return None
    return FileFacts(facts.st_ino, facts.st_mtime_ns)
