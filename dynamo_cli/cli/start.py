from __future__ import annotations

import typer

from dynamo_cli.cli.common import register_action


def register(app: typer.Typer) -> None:
    text = "Start services that were stopped, or had given up."
    register_action(app, "start", "Start services.", text)
