"""What the current incarnation of each service has written so far."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field

from dynamo_cli.logs.files import log_file
from dynamo_cli.logs.tail import Tail, last_lines
from dynamo_cli.runtime.paths import DeploymentPaths

LEAST_ROOM = 4096
"""Bytes: a block, without which a file cannot grow."""


@dataclass
class _Search:
    tail: Tail
    pattern: re.Pattern[str]
    found: bool = False

    def look(self) -> bool:
        while not self.found and (lines := self.tail.read()):
            self.found = any(self.pattern.search(line.text) for line in lines)
        return self.found


@dataclass
class Output:
    """`begins(service)` at each start; everything is about what came after it."""

    paths: DeploymentPaths
    _starts: dict[str, int] = field(default_factory=dict)
    _searches: dict[tuple[str, str], _Search] = field(default_factory=dict)

    def begins(self, service: str) -> int:
        """Where in its log file it begins."""
        file = log_file(self.paths, service)
        start = self._starts[service] = file.stat().st_size if file.exists() else 0
        for key in [key for key in self._searches if key[0] == service]:
            self._searches.pop(key).tail.close()
        return start

    def resumes(self, service: str, written: str) -> None:
        """Its incarnation began under another supervisor and has written `written`, a regular expression, if any."""
        self._starts[service] = 0
        if written:
            tail = Tail(service, log_file(self.paths, service))
            self._searches[service, written] = _Search(tail, re.compile(written), found=True)

    def last_lines(self, service: str, count: int) -> list[str]:
        return last_lines(log_file(self.paths, service), count, self._starts.get(service, 0))

    def lost(self) -> list[str]:
        """In place of the lines of one that failed and has none: why, if nothing can be written."""
        try:
            full = shutil.disk_usage(self.paths.logs).free < LEAST_ROOM
        except OSError:
            return []
        return [f"what it wrote is lost: no space is left on the disk of {self.paths.logs}"] if full else []

    def wrote(self, service: str, pattern: str) -> bool:
        """Whether a line matched the regular expression; what was read once is not read again."""
        if service not in self._starts:
            return False
        search = self._searches.get((service, pattern))
        if search is None:
            tail = Tail(service, log_file(self.paths, service), self._starts[service])
            search = self._searches[service, pattern] = _Search(tail, re.compile(pattern))
        return search.look()
