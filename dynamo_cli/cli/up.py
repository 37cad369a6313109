from __future__ import annotations

import sys
from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    @app.command(
        short_help="Start a deployment.", help="Start a deployment and run it until Ctrl-C, or detached with -d."
    )
    def up(
        file: Path = typer.Argument(..., metavar="FILE", help="The topology."),
        detach: bool = typer.Option(False, "-d", "--detach", help="Return when it is READY; `dynamo down` stops it."),
        sets: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Override a value of the file."),
        timeout: float = typer.Option(120.0, "--timeout", metavar="S", help="With -d: how long it may take."),
        as_json: bool = typer.Option(False, "--json", help="Only JSON on stdout; logs go to stderr."),
    ) -> None:
        from dynamo_cli.cli.pull import fetch_with_progress
        from dynamo_cli.supervisor import launch, view
        from dynamo_cli.supervisor.prepare import plan_from_file

        plan = plan_from_file(file, sets, fetch_with_progress)
        for warning in plan.warnings:
            print(f"dynamo: {warning}", file=sys.stderr)
        outcome = launch.run_detached(plan, timeout) if detach else launch.run_foreground(plan, as_json)
        if outcome.complaint:
            print(outcome.complaint, file=sys.stderr)
        if detach and outcome.status and as_json:
            print(view.as_json(outcome.status))
        elif detach and outcome.status and not outcome.exit_code:
            print(view.banner(outcome.status))
        raise typer.Exit(outcome.exit_code)
