from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    @app.command(short_help="Show a running deployment.")
    def attach(
        name: str = typer.Argument(None, metavar="[DEPLOYMENT]", help="Default: the only running one."),
    ) -> None:
        """Show a running deployment as `up` does; Ctrl-C leaves it running."""
        from dynamo_cli.supervisor import deployments
        from dynamo_cli.supervisor.attach import attach

        chosen = deployments.select(name)
        try:
            attach(chosen)
        except KeyboardInterrupt:
            print(f"{chosen.name} goes on; `dynamo down {chosen.name}` stops it")
