from __future__ import annotations

import typer

from dynamo_cli.cli.common import NoWait, OfDeployment, Timeout


def register(app: typer.Typer) -> None:
    @app.command(short_help="Stop services.")
    def stop(
        services: list[str] = typer.Argument(..., metavar="SERVICE...", help="Services or pools."),
        deployment: OfDeployment = None,
        no_wait: NoWait = False,
        timeout: Timeout = 120.0,
    ) -> None:
        """Stop services; nothing but `dynamo start` or `restart` revives them."""
        from dynamo_cli.supervisor import deployments, orders

        chosen = deployments.select(deployment)
        print("\n".join(orders.act(chosen, "stop", services, None if no_wait else timeout)))
