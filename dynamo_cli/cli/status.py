from __future__ import annotations

import sys

import typer


def register(app: typer.Typer) -> None:
    @app.command(
        short_help="Show a deployment's processes.",
        help="Show a deployment; exit 0 only when it is READY, 3 otherwise.",
    )
    def status(
        name: str = typer.Argument(None, metavar="[NAME]", help="The deployment; default: the only running one."),
        as_json: bool = typer.Option(False, "--json", help="As data."),
    ) -> None:
        from dynamo_cli.supervisor import deployments, table, view

        found = deployments.status_of(deployments.select(name))
        if as_json:
            print(view.as_json(found))
        elif sys.stdout.isatty():
            from rich.console import Console

            console = Console(highlight=False)
            console.print(table.rich_table(found, console.width))
        else:
            print(table.plain(found))
        raise typer.Exit(0 if found.state == "READY" else 3)
