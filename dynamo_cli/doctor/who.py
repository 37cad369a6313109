"""Who a process is, in words."""

from __future__ import annotations

from typing import NamedTuple

from dynamo_cli.supervisor.processes import environment


class Who(NamedTuple):
    """`deployment` and `service` when it is ours; `command` and `user` are "" where they cannot be seen."""

    pid: int
    command: str = ""
    user: str = ""
    deployment: str = ""
    service: str = ""

    def __str__(self) -> str:
        if self.deployment:
            return f"{self.service or 'a process'} of deployment {self.deployment} (pid {self.pid})"
        seen = ", ".join(filter(None, (self.command, f"user {self.user}" if self.user else "")))
        return f"pid {self.pid} ({seen or 'not to be seen from here'})"


def who(pid: int) -> Who:
    import psutil

    mine = dict(word.split(b"=", 1) for word in environment(pid).split(b"\0") if word.startswith(b"DYNAMO_"))
    deployment, service = (_text(mine.get(name)) for name in (b"DYNAMO_DEPLOYMENT", b"DYNAMO_SERVICE"))
    try:
        facts = psutil.Process(pid).as_dict(["name", "username"], ad_value="")
    except psutil.Error:
        facts = {}
    return Who(pid, facts.get("name", ""), facts.get("username", ""), deployment, service)


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
