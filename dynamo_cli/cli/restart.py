from __future__ import annotations

import typer

from dynamo_cli.cli.common import NoWait, OfDeployment, Surge, Timeout, chosen_deployment


def register(app: typer.Typer) -> None:
    @app.command(short_help="Restart services, the replicas of a pool one after another.")
    def restart(
        services: list[str] = typer.Argument(..., metavar="SERVICE...", help="Services or pools."),
        now: bool = typer.Option(False, "--now", "--no-rolling", help="Stop each process before the next one starts."),
        surge: Surge = 1,
        deployment: OfDeployment = None,
        no_wait: NoWait = False,
        timeout: Timeout = 600.0,
    ) -> None:
        """Restart services, the replicas of a pool one after another.

        Beside each process of ours the next one starts; when it is ready the one before finishes what it has begun and
        ends. Where there is no room for both, and for services, the one stops before the other starts.
        """
        from dynamo_cli.supervisor import orders

        chosen, wait_s = chosen_deployment(deployment), None if no_wait else timeout
        if now:
            lines = orders.act(chosen, "restart", services, wait_s)
        else:
            lines = orders.roll(chosen, services, surge, wait_s)
        print("\n".join(lines))
