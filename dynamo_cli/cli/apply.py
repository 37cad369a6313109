from __future__ import annotations

from pathlib import Path

import typer

from dynamo_cli.cli.common import NoWait, OfDeployment, Surge, Timeout, chosen_deployment


def register(app: typer.Typer) -> None:
    @app.command(short_help="Change a running deployment to an edited topology.")
    def apply(
        file: Path = typer.Argument(..., metavar="FILE", help="The topology it was started from, edited."),
        sets: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Override a value, as with `up`."),
        dry_run: bool = typer.Option(False, "--dry-run", help="Only print what would change."),
        surge: Surge = 1,
        share_gpus: bool = typer.Option(False, "--share-gpus", help="Take GPUs that another deployment has, too."),
        deployment: OfDeployment = None,
        no_wait: NoWait = False,
        timeout: Timeout = 600.0,
    ) -> None:
        """Change a running deployment to an edited topology: only what differs is touched, and it serves all the while.

        Replicas that differ are replaced one after another, each once the next one is ready; what is left over finishes
        what it has begun.
        """
        from dynamo_cli.cli.pull import fetch_with_progress
        from dynamo_cli.supervisor import apply_order
        from dynamo_cli.supervisor.prepare import read_topology

        topology = read_topology(file, sets, [], True, fetch_with_progress)
        running = apply_order.running(topology, deployment, chosen_deployment)
        asked = apply_order.apply(topology, running, surge=surge, share_gpus=share_gpus, dry_run=dry_run)
        print("\n".join(asked.lines), flush=True)
        if not (dry_run or no_wait):
            for line in asked.wait(timeout):
                print(line)
