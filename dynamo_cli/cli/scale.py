from __future__ import annotations

import typer

from dynamo_cli.cli.common import NoWait, OfDeployment, Patience, chosen_deployment


def register(app: typer.Typer) -> None:
    @app.command(short_help="Change the number of replicas of pools.")
    def scale(
        replicas: list[str] = typer.Argument(
            ..., metavar="POOL=N...", help="A pool and how many replicas it has then."
        ),
        deployment: OfDeployment = None,
        no_wait: NoWait = False,
        timeout: Patience = None,
    ) -> None:
        """Change the number of replicas of pools; those that go finish what they have begun."""
        from dynamo_cli.supervisor import orders
        from dynamo_cli.supervisor.patience import patience_with

        wanted = orders.parse_replicas(replicas)
        chosen = chosen_deployment(deployment)
        print("\n".join(orders.scale(chosen, wanted, None if no_wait else patience_with(chosen, timeout))))
