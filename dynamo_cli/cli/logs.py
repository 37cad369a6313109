from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    @app.command(short_help="Show what its processes wrote.")
    def logs(
        services: list[str] = typer.Argument(None, metavar="[SERVICE]...", help="Services or pools. Default: all."),
        follow: bool = typer.Option(False, "-f", "--follow", help="Go on as lines come, until Ctrl-C or its end."),
        tail: int = typer.Option(None, "-n", "--tail", min=0, help="Only the last N lines of each service."),
        since: str = typer.Option(None, metavar="TIME", help="From then on: 5m, 2h30m, 14:30, 2026-01-31T14:30:00Z."),
        until: str = typer.Option(None, metavar="TIME", help="Up to then, written like --since."),
        grep: str = typer.Option(None, metavar="REGEX", help="Only lines in which the expression is found."),
        level: str = typer.Option(None, help="From this level on: trace, debug, info, warning, error."),
        timestamps: bool = typer.Option(False, "-t", "--timestamps", help="When each line arrived, in UTC."),
        json: bool = typer.Option(False, "--json", help="A JSON object a line: time, service, level, text."),
        crash: str = typer.Option(None, metavar="SERVICE", help="What is kept of its last failure, and nothing else."),
        deployment: str = typer.Option(None, "-d", "--deployment", help="Default: the running or the last one."),
    ) -> None:
        """Show what the processes of a deployment wrote, in order of time, also of the last one that was stopped."""
        import functools
        from datetime import datetime

        from dynamo_cli.cli import streams
        from dynamo_cli.logs.query import make_query, writer
        from dynamo_cli.supervisor import reader

        if crash is not None:
            print(reader.read_crash(deployment, crash), end="")
            return
        now = datetime.now().astimezone()
        query = make_query(since=since, until=until, grep=grep, level=level, tail=tail, now=now)
        write = functools.partial(writer, json, timestamps)
        if follow:
            streams.end_with_the_reader()
        for line in reader.read_logs(deployment, services or [], query, follow, write):
            print(line, flush=follow)
