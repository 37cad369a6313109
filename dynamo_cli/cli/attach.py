from __future__ import annotations

import typer

from dynamo_cli.cli.common import chosen_deployment


def register(app: typer.Typer) -> None:
    @app.command(short_help="Show a running deployment.")
    def attach(
        name: str = typer.Argument(None, metavar="[DEPLOYMENT]", help="Default: the only running one."),
    ) -> None:
        """Show a running deployment as `up` does; Ctrl-C leaves it running."""
        from dynamo_cli.supervisor.attach import attach

        chosen = chosen_deployment(name)
        try:
            attach(chosen)
        except KeyboardInterrupt:
            print(f"{chosen.name} goes on; `dynamo down {chosen.name}` stops it")
