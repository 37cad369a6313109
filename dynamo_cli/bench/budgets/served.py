"""A server under measurement, whoever built it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from dynamo_cli.bench.cpu import usage
from dynamo_cli.bench.report import Report
from dynamo_cli.bench.run import run_load
from dynamo_cli.bench.target import Address
from dynamo_cli.bench.work.synthetic import Shape
from dynamo_cli.bench.workload import Workload
from dynamo_cli.errors import DynamoError


@dataclass
class Served:
    """One model behind one frontend process and a simulated worker."""

    address: Address
    model: str
    frontend_pid: int

    @cached_property
    def template_tokens(self) -> int:
        """What the chat template adds to a prompt, in tokens."""
        return self.ask(Workload(1, 1, shape=Shape(isl=20, osl=1), stream=False)).prompt_tokens - 20

    @property
    def frontend_rss_mb(self) -> float:
        return usage(self.frontend_pid).rss_bytes / 1e6

    def load(self, prompt_tokens: int, workload: Workload) -> Report:
        """Measure with prompts of about `prompt_tokens`. Raises DynamoError when a request failed."""
        shape = replace(workload.shape, isl=prompt_tokens - self.template_tokens)
        return self.ask(replace(workload, shape=shape, pids={"frontend": self.frontend_pid}))

    def ask(self, workload: Workload) -> Report:
        """Raises DynamoError when a request failed."""
        report = run_load(self.address, self.model, workload)
        if report.errors:
            raise DynamoError(f"requests failed: {report.errors}: {report.error_sample}")
        return report


class Side(Protocol):
    """Who can be measured. `name` heads its column."""

    name: str

    def serve(self, *, delay: bool) -> AbstractContextManager[Served]:
        """A server until the end of the block; its worker answers at once, or with the `delay` of a real engine."""
