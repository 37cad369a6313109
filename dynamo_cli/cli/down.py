from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    @app.command(
        short_help="Stop a deployment.",
        help="Stop a deployment in order; exit 3 when there is none to stop, 0 with --all.",
    )
    def down(
        name: str = typer.Argument(None, metavar="[NAME]", help="The deployment; default: the only running one."),
        all_: bool = typer.Option(False, "--all", help="Every running deployment."),
        timeout: float = typer.Option(None, "--timeout", metavar="S", min=0.0, help="Then without patience."),
    ) -> None:
        from dynamo_cli.supervisor import deployments, leftovers

        for deployment in deployments.running() if all_ else [deployments.select(name)]:
            leftovers.take_down(deployment, timeout)
            print(f"{deployment.name} is down")
