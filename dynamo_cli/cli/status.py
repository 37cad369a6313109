from __future__ import annotations

import contextlib
import shutil
import sys
from typing import TYPE_CHECKING

import typer

from dynamo_cli.cli.common import chosen_deployment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynamo_cli.protocol.routing_view import RoutingStatus
    from dynamo_cli.runtime.control import DeploymentStatus


def register(app: typer.Typer) -> None:
    @app.command(short_help="Show a deployment's processes.")
    def status(
        name: str = typer.Argument(None, metavar="[DEPLOYMENT]", help="Default: the only running one."),
        router: bool = typer.Option(False, "--router", help="What its frontends know of the workers."),
        as_json: bool = typer.Option(False, "--json", help="As data."),
        watch: bool = typer.Option(False, "-w", "--watch", help="Again and again, until it ends or Ctrl-C."),
        interval: float = typer.Option(1.0, metavar="S", min=0.1, help="With --watch: how often."),
        wait: str = typer.Option(None, metavar="STATE", help="Wait for it to be ready, degraded, failed or stopped."),
        timeout: float = typer.Option(120.0, metavar="S", min=0.0, help="With --wait: how long."),
    ) -> None:
        """Show a deployment. Exits with 0 when it is READY, or in the state that --wait names; with 3 otherwise.

        A detached deployment that goes on although its supervisor died gets another one.
        """
        from dynamo_cli.errors import NotReady, UsageError
        from dynamo_cli.supervisor import deployments, watching

        if router:
            if watch or wait is not None:
                raise UsageError("status: --router shows what is known now; leave out --watch and --wait")
            _print_routing(chosen_deployment(name).client.routing(), as_json)
            return
        if wait is not None:
            if wait.lower() not in watching.WANTED:
                raise UsageError(f"--wait {wait}: expected one of {', '.join(watching.WANTED)}")
            if watch:
                raise UsageError("status: choose one of --wait and --watch")
            with contextlib.suppress(NotReady):  # it may be started yet
                chosen_deployment(name)
            found = watching.wait_for(name, wait.lower(), timeout)
            if found:
                _print(found, as_json)
            return
        chosen = chosen_deployment(name)
        if watch:
            _watch(watching.statuses(chosen, interval), as_json)
            return
        found = deployments.status_of(chosen)
        _print(found, as_json)
        raise typer.Exit(0 if found.state == "READY" else 3)


def _print(found: DeploymentStatus, as_json: bool) -> None:
    from dynamo_cli.supervisor import table, view

    if as_json:
        print(view.as_json(found), flush=True)
    elif sys.stdout.isatty():
        from rich.console import Console

        console = Console(highlight=False)
        console.print(table.rich_table(found, console.width))
    else:
        print(table.plain(found, shutil.get_terminal_size().columns), flush=True)


def _print_routing(found: RoutingStatus, as_json: bool) -> None:
    from dynamo_cli.supervisor import router_table

    if as_json:
        import msgspec

        print(msgspec.json.encode(found).decode())
    elif sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False).print(router_table.rich_parts(found))
    else:
        print(router_table.plain(found))


def _watch(each: Iterable[DeploymentStatus], as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        for found in each:
            _print(found, as_json)
        return
    from rich.console import Console
    from rich.live import Live

    from dynamo_cli.supervisor import table

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        for found in each:
            live.update(table.rich_table(found, console.width), refresh=True)
