"""The files of the control group this process is in, of either version of control groups."""

from __future__ import annotations

from pathlib import Path


def group_files(root: Path, controller: str, unified: str, legacy: str) -> list[Path]:
    """`unified` (version 2) or `legacy` (version 1) of our group and of those around it, the innermost first.

    `root` is that of the file system; empty where the kernel does not tell.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            return _existing(root / "sys/fs/cgroup", path, unified)
        if controller in controllers.split(","):
            return _existing(root / "sys/fs/cgroup" / controller, path, legacy)
    return []


def _existing(mount: Path, group: str, name: str) -> list[Path]:
    """In a container the group's path may be one of the host that is not to be seen here."""
    relative = Path(group.lstrip("/"))
    inner = [] if ".." in relative.parts else [mount / relative, *(mount / each for each in relative.parents)]
    files = (directory / name for directory in dict.fromkeys([*inner, mount]))
    return [file for file in files if file.exists()]
