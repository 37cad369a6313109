from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from dynamo_cli.doctor.examine import Group


def register(app: typer.Typer) -> None:
    @app.command(short_help="Check this machine, and say what to fix.")
    def doctor(
        topology: str = typer.Argument("", metavar="[TOPOLOGY]", help="Check that this one could start here, too."),
        thorough: bool = typer.Option(
            False, "--thorough", "--thorough-check", help="Import every package; try Hugging Face. Up to 3 minutes."
        ),
        json: bool = typer.Option(False, "--json", "--json-output", help="Print JSON."),
        terse: bool = typer.Option(False, "--terse", help="Warnings and errors only."),
        runtime_only: bool = typer.Option(
            False, "--runtime-check-only", help="Python, packages, engines and planes only."
        ),
        no_gpus: bool = typer.Option(False, "--no-gpu-check", help="Without the GPUs."),
        no_engines: bool = typer.Option(False, "--no-framework-check", help="Without the engines."),
    ) -> None:
        """Check this machine for what a deployment needs. Exits with 1 when there is an error."""
        from dynamo_cli.doctor import report
        from dynamo_cli.doctor.examine import examine
        from dynamo_cli.doctor.machine import Asked, Machine

        asked = Asked(topology, thorough, gpus=not no_gpus, engines=not no_engines, runtime_only=runtime_only)
        groups = examine(Machine(asked))
        if json:
            found = list(groups)
            print(report.as_json(found, asked, terse))
        else:
            found = list(_printed(groups, terse))
            print(report.summary(found))
        raise typer.Exit(1 if report.failed(found) else 0)


def _printed(groups: Iterator[Group], terse: bool) -> Iterator[Group]:
    """Each group, printed as soon as it is known."""
    from dynamo_cli.doctor import report

    console = _console() if sys.stdout.isatty() else None
    for group in groups:
        shown = report.problems_only(group) if terse else group
        if shown.checks and console:
            console.print(report.rich_group(shown))
        elif shown.checks:
            print("\n".join(report.plain(shown)), flush=True)
        yield group


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)
