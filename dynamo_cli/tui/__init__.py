"""The terminal UI of a running deployment. Textual is imported when it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynamo_cli.supervisor.deployments import Deployment
    from dynamo_cli.supervisor.launch.screen import Ending


def run(deployment: Deployment, *, owns: bool) -> Ending:
    """Show it until the user quits or the deployment has ended.

    `owns`: it was started by this `up`; quitting asks: stop, or leave running detached. The standard streams must be a
    terminal, stderr too: it is drawn there. DynamoError when the UI fails.
    """
    from dynamo_cli.tui.app import DeploymentApp

    return DeploymentApp(deployment, owns=owns).show()
