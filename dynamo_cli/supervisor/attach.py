"""`dynamo attach`: what a foreground `up` shows, of a deployment that runs already."""

from __future__ import annotations

import time

from dynamo_cli.errors import NotReady
from dynamo_cli.logs.files import OWN_LOG, log_file
from dynamo_cli.logs.tail import LogFollower
from dynamo_cli.supervisor import view
from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.launch.screen import Ending

LOOK_S = 0.1


def attach(deployment: Deployment) -> Ending:
    """Until the deployment has ended; KeyboardInterrupt leaves it running."""
    client = deployment.client
    names = [service.name for service in client.status().services]
    follower = LogFollower([(name, log_file(deployment.paths, name)) for name in [*names, OWN_LOG]])
    shown = view.open_view(names, as_json=False)
    try:
        while True:
            try:
                status = client.status()
            except NotReady:
                break
            view.look(shown, follower, deployment.paths, status)
            time.sleep(LOOK_S)
        for line in follower.rest():
            shown.line(line)
        return "ended"
    finally:
        shown.close()
        follower.close()
