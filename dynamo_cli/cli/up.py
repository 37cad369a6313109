from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dynamo_cli.cli.common import NoTui

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynamo_cli.supervisor.launch.claim import Claim
    from dynamo_cli.supervisor.launch.outcome import Outcome
    from dynamo_cli.topology.parts import Topology

_tell = functools.partial(print, file=sys.stderr, flush=True)


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
            None,
            "--timeout",
            metavar="S",
            min=0.0,
            help="With -d: how long it may take; 120, or what its engines need.",
        ),
        as_json: bool = typer.Option(False, "--json", help="Only JSON on stdout; logs go to stderr."),
        no_tui: NoTui = False,
    ) -> None:
        """Start a deployment and run it until Ctrl-C, or detached with -d.

        With names of pools and services only these are started, with what they depend on; frontends always are.
        """
        from dynamo_cli.cli.pull import fetch_with_progress
        from dynamo_cli.supervisor.launch.interrupts import Interrupts
        from dynamo_cli.supervisor.prepare import read_topology

        topology = read_topology(file, sets, names or [], not no_deps, fetch_with_progress)
        if detach:
            _take_over_instead(topology, timeout, as_json)
        with Interrupts() as interrupts:
            interrupts.let_in()
            run = functools.partial(_run_detached, timeout=timeout)
            if not detach:
                run = functools.partial(_run, as_json=as_json, no_tui=no_tui)
            outcome = _outcome(topology, share_gpus, detach, run)
            interrupts.keep_out()
            if outcome.complaint:
                _tell(outcome.complaint)
            if outcome.farewell:
                print(outcome.farewell)
            if detach and outcome.status and (as_json or not outcome.exit_code):
                _print(outcome, as_json)
        raise typer.Exit(outcome.exit_code)


def _outcome(topology: Topology, share_gpus: bool, detach: bool, run: Callable[[Claim], Outcome]) -> Outcome:
    """Claim what it takes and run it. What is interrupted before anything of it was started never was."""
    from dynamo_cli.supervisor.launch.interrupts import Interrupted
    from dynamo_cli.supervisor.launch.outcome import Outcome

    held = None
    try:
        held = _claimed(topology, share_gpus, detach)
        for warning in held.assignment.plan.warnings:
            _tell(f"dynamo: warning: {warning}")
        return run(held)
    except Interrupted as asked:
        if held is not None:
            held.withdraw()
        return Outcome(asked.exit_code)


def _take_over_instead(topology: Topology, timeout: float | None, as_json: bool) -> None:
    """When it lives on without supervisor it gets another one, and this command ends here."""
    from dynamo_cli.supervisor.launch.outcome import Outcome
    from dynamo_cli.supervisor.patience import patience_with
    from dynamo_cli.supervisor.prepare import topology_digest
    from dynamo_cli.supervisor.takeover import differs, instead_of_starting, settled

    taken = instead_of_starting(topology.name)
    if taken is None:
        return
    for words in filter(None, (taken.words, differs(taken.deployment, topology_digest(topology)))):
        _tell(f"dynamo: {words}")
    status = settled(taken.deployment, patience_with(taken.deployment, timeout))
    if status.state != "READY":
        _tell(f"dynamo: {status.deployment} is {status.state}: {status.reason}")
    _print(Outcome(0, status), as_json)
    raise typer.Exit(0 if status.state == "READY" else 3)


def _claimed(topology: Topology, share_gpus: bool, detach: bool) -> Claim:
    from dynamo_cli.supervisor.launch.claim import claim
    from dynamo_cli.supervisor.prepare import plan_here
    from dynamo_cli.supervisor.reservation import reservation

    with reservation():
        return claim(plan_here(topology, share_gpus=share_gpus), detach)


def _run_detached(held: Claim, timeout: float | None) -> Outcome:
    from dynamo_cli.supervisor.launch.detached import run_detached

    return run_detached(held, timeout, _tell)


def _run(held: Claim, as_json: bool, no_tui: bool) -> Outcome:
    from dynamo_cli.cli.screen import screen

    run = None if as_json else screen(no_tui)
    if run is None:
        from dynamo_cli.supervisor.launch.foreground import run_foreground

        return run_foreground(held, as_json)
    from dynamo_cli.supervisor.launch.screened import run_screened

    return run_screened(held, functools.partial(run, owns=True), _tell)


def _print(outcome: Outcome, as_json: bool) -> None:
    from dynamo_cli.supervisor.banner import brief
    from dynamo_cli.supervisor.view import as_json as encoded

    assert outcome.status
    print(encoded(outcome.status) if as_json else brief(outcome.status))
