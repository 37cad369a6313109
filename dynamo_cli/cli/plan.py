"""`dynamo plan`: what `dynamo up` would run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from dynamo_cli.topology.process import Plan


def register(app: typer.Typer) -> None:
    @app.command(short_help="Show what `up` would start.")
    def plan(
        file: str = typer.Argument(metavar="FILE", help="A topology, such as topologies/agg.toml."),
        sets: list[str] = typer.Option(
            [], "--set", metavar="KEY=VALUE", help="Change a key of the topology; VALUE as in TOML. Repeatable."
        ),
        gpus: str = typer.Option(
            "", "--gpus", metavar="WHAT", help="For a machine with these GPUs: 8xH100-80GB, 2xL40S, or a .json file."
        ),
        as_json: bool = typer.Option(False, "--json", help="Print the plan as JSON."),
        commands: bool = typer.Option(False, "--commands", help="Print the command of each process, one a line."),
    ) -> None:
        """Show the processes, GPUs, ports and commands that `dynamo up FILE` would start."""
        from dynamo_cli.errors import UsageError
        from dynamo_cli.topology.inventory import gather, gather_described
        from dynamo_cli.topology.load import load_topology
        from dynamo_cli.topology.plan import make_plan

        if as_json and commands:
            raise UsageError("plan: choose one of --json and --commands")
        topology = load_topology(Path(file), sets)
        inventory = gather_described(topology, gpus) if gpus else gather(topology)
        _print(make_plan(topology, inventory), as_json, commands)


def _print(plan: Plan, as_json: bool, commands: bool) -> None:
    from dynamo_cli.topology.render import command_line

    for warning in plan.warnings:
        print(f"dynamo: warning: {warning}", file=sys.stderr)
    if as_json:
        _print_json(plan)
    elif commands:
        for process in plan.processes:
            print(command_line(process))
    else:
        _print_table(plan)


def _print_json(plan: Plan) -> None:
    import msgspec

    from dynamo_cli.topology.render import covered

    shown = msgspec.structs.replace(plan, processes=tuple(map(covered, plan.processes)))
    print(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())


def _print_table(plan: Plan) -> None:
    from dynamo_cli.topology import render

    print("\n".join(render.headline(plan)), end="\n\n")
    if sys.stdout.isatty():
        _print_rich(plan)
    else:
        print("\n".join(render.table_lines(plan)))
    for lines in (render.gpu_lines(plan), render.memory_lines(plan)):
        if lines:
            print("", *lines, sep="\n")
    for process in plan.processes:
        print(f"\n{process.name}:\n  {render.command_line(process)}")


def _print_rich(plan: Plan) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from dynamo_cli.topology import render

    table = Table(*(name.upper() for name in render.COLUMNS), box=None, pad_edge=False, header_style="bold")
    for row in render.rows(plan):
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)
