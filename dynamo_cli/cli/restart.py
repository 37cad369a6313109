from __future__ import annotations

import typer

from dynamo_cli.cli.common import register_action


def register(app: typer.Typer) -> None:
    text = "Restart services, the replicas of a pool one after another."
    register_action(app, "restart", text, text)
