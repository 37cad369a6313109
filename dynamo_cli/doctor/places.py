"""A directory that is written to: whether it can be, whose it is, and how full its disk is."""

from __future__ import annotations

import errno
import os
import pwd
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.doctor.check import GIB, MIB, Check, error, ok, size, warn

LOW, FULL = GIB, 64 * MIB


class Place(NamedTuple):
    """`refusal`: why nothing can be written there, or where it would be made; `full` when that is for want of room.

    `free` in bytes. `inodes`: how many more files fit, None where the file system does not count.
    """

    path: Path
    exists: bool = True
    refusal: str = ""
    full: bool = False
    owner: int = 0
    mode: int = 0o700
    free: int = 0
    inodes: int | None = None


def place_check(name: str, place: Place, variable: str, *, private: bool = True, me: int | None = None) -> Check:
    """`variable` is the one that names another place; `private`: others must not be able to write there."""
    me = os.getuid() if me is None else me
    elsewhere = f"set {variable} to another place"
    words = f"{place.path}{'' if place.exists else ' (not made yet)'}"
    if place.refusal:
        return error(name, f"{words} {place.refusal}", f"make room, or {elsewhere}" if place.full else elsewhere)
    words += f", {size(place.free)} free"
    if place.free < FULL or place.inodes == 0:
        return error(name, f"{words}: the disk is full", f"make room, or {elsewhere}")
    if place.free < LOW:
        return warn(name, f"{words}: the disk is nearly full", f"make room, or {elsewhere}")
    if private and place.exists and place.owner != me:
        return warn(name, f"{words}; it belongs to {user_name(place.owner)}", f"{elsewhere}, or chown -R it")
    if private and place.exists and place.mode & 0o022:
        mode = f"{place.mode:04o}"
        return warn(name, f"{words}; others can write there (mode {mode})", f"chmod go-w {place.path}")
    return ok(name, words)


def inspect(path: Path) -> Place:
    """By writing a file without a name, which leaves nothing; where `path` is not there, in what it would be made."""
    exists = os.path.lexists(path)
    nearest = next(each for each in (path, *path.parents) if os.path.lexists(each))
    if not os.path.isdir(nearest):
        return Place(path, exists, "is not a directory" if exists else f"cannot be made: {nearest} is not a directory")
    refusal, full = _try_to_write(nearest)
    if refusal and not exists:
        refusal += f" (in {nearest})"
    facts, room = nearest.stat(), os.statvfs(nearest)
    return Place(
        path=path,
        exists=exists,
        refusal=refusal,
        full=full,
        owner=facts.st_uid,
        mode=stat.S_IMODE(facts.st_mode),
        free=room.f_bavail * room.f_frsize,
        inodes=room.f_favail if room.f_files else None,
    )


def user_name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"


def _try_to_write(directory: Path) -> tuple[str, bool]:
    """Why not, "" when it works, and whether it is for want of room."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as refused:
        return f"cannot be written: {refused.strerror}", refused.errno in (errno.ENOSPC, errno.EDQUOT)
    return "", False
