"""Who runs this, and the directories that must be writable: home, state, sockets, models, temporary files."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from dynamo_cli.doctor.check import Check, Question, error, ok, warn
from dynamo_cli.doctor.guard import HOME_FIX
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.doctor.places import Place, inspect, place_check
from dynamo_cli.hub.paths import models_dir
from dynamo_cli.runtime.paths import SOCKET_PATH_LIMIT, dynamo_home, socket_base


def questions(machine: Machine) -> Iterator[Question]:
    yield Question("user", lambda: user_check(os.getuid(), _user_name()))
    yield Question("home", lambda: home_check(machine.environ.get("HOME", ""), _home()))
    yield Question("state-directory", lambda: place_check("state-directory", inspect(dynamo_home()), "DYNAMO_HOME"))
    yield Question("socket-directory", lambda: sockets_check(machine.environ, inspect(socket_base())))
    yield Question("model-directory", lambda: place_check("model-directory", inspect(models_dir()), "XDG_CACHE_HOME"))
    yield Question("temporary-directory", temporary_check)


def user_check(uid: int, name: str) -> Check:
    if name:
        return ok("user", f"{name} (uid {uid})")
    return warn("user", f"uid {uid} has no name here", HOME_FIX)


def home_check(said: str, home: Place | None) -> Check:
    if home is None:
        return warn("home", "there is none", HOME_FIX)
    where = str(home.path) if said else f"{home.path} (HOME is not set)"
    if not home.exists:
        return warn("home", f"{where} does not exist", HOME_FIX)
    if home.refusal:
        return warn("home", f"{where} {home.refusal}", HOME_FIX)
    return ok("home", where)


def sockets_check(environ: Mapping[str, str], place: Place) -> Check:
    """`place` is where the sockets go, which is not XDG_RUNTIME_DIR when that will not do."""
    wanted = environ.get("XDG_RUNTIME_DIR", "")
    judged = place_check("socket-directory", place, "XDG_RUNTIME_DIR", private=False)
    if judged.status != "ok" or not wanted or Path(wanted) == place.path:
        return judged
    long = len(os.fsencode(wanted)) > SOCKET_PATH_LIMIT // 2
    why = f"its path is too long for sockets ({SOCKET_PATH_LIMIT} bytes)" if long else "it is no directory"
    detail = f"{place.path} instead of XDG_RUNTIME_DIR={wanted}: {why}"
    return warn("socket-directory", detail, "set XDG_RUNTIME_DIR to a short path, such as /run/user/UID")


def temporary_check() -> Check:
    try:
        found = tempfile.gettempdir()
    except FileNotFoundError as failure:
        return error("temporary-directory", str(failure), "set TMPDIR to a directory that can be written")
    return place_check("temporary-directory", inspect(Path(found)), "TMPDIR", private=False)


def _home() -> Place | None:
    try:
        return inspect(Path.home())
    except RuntimeError:
        return None


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
