from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    @app.command(
        short_help="Show what its processes wrote.",
        help="Show what the processes of a deployment wrote, also of the last one that was stopped.",
    )
    def logs(
        services: list[str] = typer.Argument(None, metavar="[SERVICE]...", help="Default: all of them."),
        follow: bool = typer.Option(False, "-f", "--follow", help="Go on as lines come, until Ctrl-C."),
        tail: int = typer.Option(None, "-n", "--tail", min=0, help="Only the last N lines of each."),
        deployment: str = typer.Option(None, "--deployment", help="Default: the only running one, else the last."),
    ) -> None:
        from dynamo_cli.supervisor import reader

        for line in reader.read_logs(deployment, services or [], tail, follow):
            print(line, flush=follow)
