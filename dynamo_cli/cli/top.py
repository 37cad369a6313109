from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from dynamo_cli.cli.common import chosen_deployment

if TYPE_CHECKING:
    from dynamo_cli.supervisor.refreshing import Plain, Screen


def register(app: typer.Typer) -> None:
    @app.command(short_help="Show what a deployment does now, again and again.")
    def top(
        name: str = typer.Argument(None, metavar="[DEPLOYMENT]", help="Default: the only running one."),
        iterations: int = typer.Option(0, "-n", "--iterations", metavar="N", min=0, help="So many times; 0: no end."),
        delay: float = typer.Option(2.0, "-d", "--delay", metavar="S", min=0.1, help="How often."),
        as_json: bool = typer.Option(False, "--json", help="As data, a JSON object a line: as status --json."),
    ) -> None:
        """Show traffic, GPUs, and what each process does and takes, until the deployment ends, q or Ctrl-C.

        Rates and percentiles are over the last ten seconds. Without a terminal it prints one table after the other.
        """
        from dynamo_cli.supervisor import top as reading
        from dynamo_cli.supervisor import view, watching

        chosen = chosen_deployment(name)
        with _output(as_json) as output:
            for shown, status in enumerate(watching.statuses(chosen, 0.0), 1):
                lines = [view.as_json(status)] if as_json else reading.block(status, output.size[0])
                output.show(lines)
                if shown == iterations or not output.wait(delay):
                    return


def _output(as_json: bool) -> Plain | Screen:
    from dynamo_cli.supervisor.refreshing import Plain, Screen

    can_redraw = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    return Screen() if can_redraw and not as_json else Plain(gap=not as_json)
