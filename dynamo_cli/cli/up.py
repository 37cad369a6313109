from __future__ import annotations

import sys
from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    @app.command(short_help="Start a deployment.")
    def up(
        file: Path = typer.Argument(..., metavar="FILE", help="The topology."),
        names: list[str] = typer.Argument(None, metavar="[PART]...", help="Only these pools and services."),
        detach: bool = typer.Option(False, "-d", "--detach", help="Return when it is READY; `dynamo down` stops it."),
        sets: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Override a value of the file."),
        no_deps: bool = typer.Option(False, "--no-deps", help="With PART: not what these depend on."),
        share_gpus: bool = typer.Option(False, "--share-gpus", help="Take GPUs that another deployment has, too."),
        timeout: float = typer.Option(
            None, "--timeout", metavar="S", help="With -d: how long it may take; 120, or what its engines need."
        ),
        as_json: bool = typer.Option(False, "--json", help="Only JSON on stdout; logs go to stderr."),
    ) -> None:
        """Start a deployment and run it until Ctrl-C, or detached with -d.

        With names of pools and services only these are started, with what they depend on; frontends always are.
        """
        import functools

        from dynamo_cli.cli.pull import fetch_with_progress
        from dynamo_cli.supervisor import launch, view
        from dynamo_cli.supervisor.patience import patience_with
        from dynamo_cli.supervisor.prepare import plan_here, read_topology, topology_digest
        from dynamo_cli.supervisor.reservation import reservation
        from dynamo_cli.supervisor.takeover import differs, instead_of_starting, settled

        topology = read_topology(file, sets, names or [], not no_deps, fetch_with_progress)
        if detach and (taken := instead_of_starting(topology.name)):
            for words in filter(None, (taken.words, differs(taken.deployment, topology_digest(topology)))):
                print(f"dynamo: {words}", file=sys.stderr)
            status = settled(taken.deployment, patience_with(taken.deployment, timeout))
            if status.state != "READY":
                print(f"dynamo: {status.deployment} is {status.state}: {status.reason}", file=sys.stderr)
            print(view.as_json(status) if as_json else view.banner(status))
            raise typer.Exit(0 if status.state == "READY" else 3)
        with reservation():
            plan = plan_here(topology, share_gpus=share_gpus)
            held = launch.claim(plan, detach)
        for warning in plan.warnings:
            print(f"dynamo: warning: {warning}", file=sys.stderr)
        tell = functools.partial(print, file=sys.stderr, flush=True)
        outcome = launch.run_detached(held, timeout, tell) if detach else launch.run_foreground(held, as_json)
        if outcome.complaint:
            print(outcome.complaint, file=sys.stderr)
        if detach and outcome.status and as_json:
            print(view.as_json(outcome.status))
        elif detach and outcome.status and not outcome.exit_code:
            print(view.banner(outcome.status))
        raise typer.Exit(outcome.exit_code)
