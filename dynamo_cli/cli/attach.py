from __future__ import annotations

import typer

from dynamo_cli.cli.common import NoTui, chosen_deployment


def register(app: typer.Typer) -> None:
    @app.command(short_help="Show a running deployment.")
    def attach(
        name: str = typer.Argument(None, metavar="[DEPLOYMENT]", help="Default: the only running one."),
        no_tui: NoTui = False,
    ) -> None:
        """Show a running deployment as `up` does; Ctrl-C leaves it running."""
        from dynamo_cli.cli.screen import screen
        from dynamo_cli.supervisor.attach import attach
        from dynamo_cli.supervisor.launch.screen import shown

        chosen = chosen_deployment(name)
        run = screen(no_tui)
        try:
            ending = shown(chosen, lambda deployment: run(deployment, owns=False)) if run else attach(chosen)
        except KeyboardInterrupt:
            ending = "left"
        if ending == "left":
            print(f"{chosen.name} goes on; `dynamo down {chosen.name}` stops it")
        elif ending == "stopped":
            print(f"{chosen.name} is down")
