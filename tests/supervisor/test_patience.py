"""A start is waited for as long as the engines of its plan may take."""

from __future__ import annotations

import os
from pathlib import Path

from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.patience import USUAL_S, patience_of, patience_with
from dynamo_cli.supervisor.processes import identify
from dynamo_cli.supervisor.record import Record, write
from dynamo_cli.topology.process import Probe
from dynamo_cli.workers.engines.vllm.spec import VllmSpec
from tests.supervisor.plans import plan, worker

SLOW = worker(engine="vllm", probe=Probe(timeout_s=700.0))


def test_most_starts_are_short_whatever_their_time_limit() -> None:
    assert patience_of([]) == patience_of([worker(probe=Probe(timeout_s=600.0))]) == USUAL_S
    assert patience_of([worker(engine="no engine of ours")]) == USUAL_S


def test_a_slow_engine_has_the_time_that_its_process_has() -> None:
    assert patience_of([worker(), SLOW]) == 700.0
    assert patience_of([worker(engine="vllm", probe=Probe(timeout_s=9.0))]) == USUAL_S
    assert VllmSpec.start_timeout_s > 600.0, "it gives up by itself before"


def test_what_the_user_says_comes_first(tmp_path: Path) -> None:
    record = Record(deployment="slow", deployment_id="1", supervisor=identify(os.getpid()))
    deployment = Deployment(DeploymentPaths("slow", tmp_path), record)
    assert patience_with(deployment, None) == USUAL_S, "its plan cannot be read"
    deployment.paths.root.mkdir(parents=True)
    write(deployment.paths.plan, plan(SLOW))
    assert patience_with(deployment, None) == 700.0
    assert patience_with(deployment, 0.0) == 0.0
