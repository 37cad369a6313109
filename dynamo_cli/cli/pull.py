"""`dynamo pull`: fetch a model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from dynamo_cli.hub.resolve import ModelFiles


EVERY_S = 3.0


def register(app: typer.Typer) -> None:
    @app.command()
    def pull(name: str = typer.Argument("", help="A catalogue model or ORG/NAME; else the default model.")) -> None:
        """Fetch a model, so that `up` need not."""
        from dynamo_cli.errors import ModelMissing
        from dynamo_cli.hub.catalogue import DEFAULT_MODEL
        from dynamo_cli.hub.resolve import resolve_model

        name = name or DEFAULT_MODEL
        try:
            print(f"already here: {resolve_model(name).path}")
        except ModelMissing:
            print(f"fetched: {fetch_with_progress(name).path}")


def fetch_with_progress(name: str) -> ModelFiles:
    """`fetch_model` that shows its progress on stderr: a bar on a terminal, a line every few seconds elsewhere."""
    from dynamo_cli.hub.fetch import fetch_model

    with _bar() if sys.stderr.isatty() else _lines() as progress:
        return fetch_model(name, progress)


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("fetching", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total or None)


@contextmanager
def _lines() -> Iterator[Callable[[str, int, int], None]]:
    import time

    again = 0.0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal again
        if time.monotonic() < again:
            return
        again = time.monotonic() + EVERY_S
        share = f"{100 * done // total}% of {total / 1e6:.0f} MB" if total else f"{done / 1e6:.0f} MB"
        print(f"{what}: {share}", file=sys.stderr, flush=True)

    yield progress
