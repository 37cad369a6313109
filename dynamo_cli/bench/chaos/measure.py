"""One fault under load, from the start of its deployment to what is left after its end."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from dynamo_cli.bench.budgets.rig import Rig
from dynamo_cli.bench.chaos.asks import mixed_asks
from dynamo_cli.bench.chaos.deployment import Deployment, deployed
from dynamo_cli.bench.chaos.faults import Fault, Ground
from dynamo_cli.bench.chaos.outcome import seen
from dynamo_cli.bench.chaos.result import Result
from dynamo_cli.bench.chaos.traffic import Traffic
from dynamo_cli.bench.target import parse_url
from dynamo_cli.errors import DynamoError

BEFORE_S, AFTER_S = 3.0, 3.0
"""How long the load runs before the fault, and after everything is well again."""
RECOVERY_S = 90.0
LOOK_S = 0.05


def measure(fault: Fault, streams: int) -> Result:
    """Raises Skipped where this machine cannot do it; DynamoError when the deployment does not start."""
    with tempfile.TemporaryDirectory(prefix="dyn-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        with fault.ground(home) as ground:
            rig = Rig(home, ground.environ, ground.before)
            with deployed(rig) as target:
                result = asyncio.run(_under_load(fault, target, ground, streams))
                rig.dynamo("down", "--all")
                result.left_behind = target.left_behind()
            return result


async def _under_load(fault: Fault, target: Deployment, ground: Ground, streams: int) -> Result:
    traffic = Traffic(parse_url(target.url), mixed_asks(target.model, streams))
    try:
        await traffic.learn()
        traffic.begin()
        await asyncio.sleep(BEFORE_S)
        began = time.perf_counter()
        gone = await fault.strike(target, ground)
        lifted = time.perf_counter()
        well_at = await recovered(target, traffic, gone)
        await asyncio.sleep(AFTER_S)
        await traffic.end()
    finally:
        traffic.close()
    return Result(
        row=fault.name,
        what=fault.what,
        seen=seen(traffic.outcomes, target.frontend_kills),
        fault_s=round(lifted - began, 2),
        recovery_s=None if well_at is None else round(well_at - lifted, 2),
    )


async def recovered(target: Deployment, traffic: Traffic, gone: set[int]) -> float | None:
    """When everything was READY again and a new request was answered; None when that took too long."""
    deadline = time.perf_counter() + RECOVERY_S
    while time.perf_counter() < deadline:
        if await asyncio.to_thread(_is_whole, target, gone) and await traffic.answers():
            return time.perf_counter()
        await asyncio.sleep(LOOK_S)
    return None


def _is_whole(target: Deployment, gone: set[int]) -> bool:
    try:
        return target.is_whole(gone)
    except DynamoError:
        return False
