"""What several commands share: options, and the commands that do one thing to services."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from dynamo_cli.runtime.control import ServiceAction
    from dynamo_cli.supervisor.deployments import Deployment

OfDeployment = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("-d", "--deployment", metavar="DEPLOYMENT", help="Default: the only running one."),
]
Timeout = Annotated[float, typer.Option(metavar="S", min=0.0, help="How long to wait.")]
Patience = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--timeout", metavar="S", min=0.0, help="How long to wait; 120, or what its engines need."),
]
Surge = Annotated[int, typer.Option(metavar="N", min=1, help="How many replicas of a pool are replaced at a time.")]
NoTui = Annotated[bool, typer.Option("--no-tui", help="Lines, also on a terminal; so does DYN_NO_TUI=1.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once.")]


def chosen_deployment(name: str | None) -> Deployment:
    """The one a command means, with another supervisor if its own died; stderr tells of that."""
    from dynamo_cli.supervisor import deployments

    chosen = deployments.select(name)
    if chosen.record.supervised:
        return chosen
    from dynamo_cli.supervisor.takeover import take_over

    taken = take_over(chosen)
    if taken.words:
        print(f"dynamo: {taken.words}", file=sys.stderr)
    return taken.deployment


def register_action(app: typer.Typer, action: ServiceAction, short_help: str, help_text: str) -> None:
    """A command that does `action`, which is its name, to services."""

    @app.command(name=action, short_help=short_help, help=help_text)
    def act(
        services: list[str] = typer.Argument(..., metavar="SERVICE...", help="Services or pools."),
        deployment: OfDeployment = None,
        no_wait: NoWait = False,
        timeout: Patience = None,
    ) -> None:
        from dynamo_cli.supervisor import orders
        from dynamo_cli.supervisor.patience import patience_with

        chosen = chosen_deployment(deployment)
        print("\n".join(orders.act(chosen, action, services, None if no_wait else patience_with(chosen, timeout))))
