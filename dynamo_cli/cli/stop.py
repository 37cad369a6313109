from __future__ import annotations

import typer

from dynamo_cli.cli.common import register_action


def register(app: typer.Typer) -> None:
    text = "Stop services; nothing but `dynamo start` or `restart` revives them."
    register_action(app, "stop", "Stop services.", text)
