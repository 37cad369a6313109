from __future__ import annotations

import typer

from dynamo_cli.cli.common import chosen_deployment


def register(app: typer.Typer) -> None:
    @app.command(short_help="Follow what happens in a deployment.")
    def events(
        name: str = typer.Argument(None, metavar="[DEPLOYMENT]", help="Default: the only running one."),
        json: bool = typer.Option(False, "--json", help="A JSON object a line: time, service, state, message."),
    ) -> None:
        """Follow what happens in a deployment, until it ends or Ctrl-C."""
        import time

        import msgspec

        from dynamo_cli.cli import streams

        streams.end_with_the_reader()
        for event in chosen_deployment(name).client.events():
            if json:
                print(msgspec.json.encode(event).decode(), flush=True)
                continue
            at = time.strftime("%H:%M:%S", time.localtime(event.time))
            who = event.service or "deployment"
            print(f"{at}  {who} {event.state}{f'  {event.message}' if event.message else ''}", flush=True)
