"""Where a deployment keeps its state, and the short private directory of its sockets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from dynamo_cli.errors import DynamoError, ResourceMissing, UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
SOCKET_PATH_LIMIT = 100
COUNTS_SUFFIX = ".counts"
"""Beside its socket, what a frontend has told of its counts: it outlives the process, but not the deployment."""
_LONGEST_SOCKET_NAME = len("/dynamo-4294967295-01234567/control.sock")


def dynamo_home() -> Path:
    """$DYNAMO_HOME, else $XDG_STATE_HOME/dynamo, else ~/.local/state/dynamo."""
    if home := os.environ.get("DYNAMO_HOME"):
        return Path(home).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser().absolute() / "dynamo"


def is_deployment_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def check_deployment_name(name: str) -> str:
    """The name itself; UsageError when it cannot be a deployment's."""
    if is_deployment_name(name):
        return name
    raise UsageError(
        f"deployment name {name!r} is not valid: use at most 40 lower-case letters, digits, - and _, "
        "starting with a letter or digit"
    )


class DeploymentPaths:
    """The files of one deployment. Nothing is created before `ensure()`."""

    def __init__(self, deployment: str, home: Path | None = None) -> None:
        self.deployment = check_deployment_name(deployment)
        self.root = (home or dynamo_home()).absolute() / deployment
        self.plan = self.root / "plan.json"
        self.state = self.root / "state.json"
        self.token = self.root / "token"
        self.logs = self.root / "logs"
        self.discovery = self.root / "discovery"

    @property
    def runtime_dir(self) -> Path:
        """Private to this user (0700) and short enough for the paths of unix sockets."""
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]
        return socket_base() / f"dynamo-{os.getuid()}-{digest}"

    @property
    def control_socket(self) -> Path:
        return self.runtime_dir / "control.sock"

    @property
    def keeper_door(self) -> Path:
        """Where the log keeper waits for the next supervisor. No service has a socket without a suffix."""
        return self.runtime_dir / "keeper"

    @property
    def handover_socket(self) -> Path:
        """Where a new supervisor waits for the public listening socket."""
        return self.runtime_dir / "handover"

    def admin_socket(self, service: str) -> Path:
        """The admin socket of a component; one started by hand (service "") is named after its pid."""
        path = self.runtime_dir / f"{service or f'pid-{os.getpid()}'}.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
            return path
        return self.runtime_dir / f"{hashlib.sha256(service.encode()).hexdigest()[:16]}.sock"

    def ensure(self) -> None:
        """Create the directories; ResourceMissing when the disk or its permissions refuse."""
        try:
            for directory in (self.root, self.logs, self.discovery):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _ensure_private(self.runtime_dir)
            _link(self.root / "run", self.runtime_dir)
        except OSError as error:
            raise ResourceMissing(f"cannot create {error.filename or self.root}: {error.strerror}") from None

    def tidy(self, all_ended: bool = False) -> None:
        """Remove the directory of the sockets when nobody uses it any more, or when all of the deployment has ended.

        What dead components started by hand left there counts for nothing.
        """
        if all_ended:
            shutil.rmtree(self.runtime_dir, ignore_errors=True)
        for socket in self.runtime_dir.glob("pid-*.sock"):
            if not is_alive(int(socket.stem.removeprefix("pid-"))):
                socket.unlink(missing_ok=True)
        if not any(self.runtime_dir.glob("*.sock")):
            for counts in self.runtime_dir.glob(f"*{COUNTS_SUFFIX}*"):
                counts.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.runtime_dir.rmdir()
        if not self.runtime_dir.exists():
            (self.root / "run").unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def socket_base() -> Path:
    """$XDG_RUNTIME_DIR, else the temporary directory; /tmp where that is too long a path or is not there."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()).absolute()
    too_long = len(os.fsencode(base)) + _LONGEST_SOCKET_NAME > SOCKET_PATH_LIMIT
    return Path("/tmp") if too_long or not base.is_dir() else base


def _ensure_private(directory: Path) -> None:
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    facts = directory.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise DynamoError(f"{directory} is not a directory of this user; remove it or set XDG_RUNTIME_DIR")
    if facts.st_mode & 0o077:
        directory.chmod(0o700)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and os.readlink(link) == str(target):
        return
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    fresh.symlink_to(target)
    fresh.replace(link)
