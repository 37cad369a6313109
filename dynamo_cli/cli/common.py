"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

OfDeployment = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("-d", "--deployment", metavar="DEPLOYMENT", help="Default: the only running one."),
]
Timeout = Annotated[float, typer.Option(metavar="S", min=0.0, help="How long to wait.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once.")]
