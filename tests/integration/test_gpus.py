"""`dynamo up` on a machine whose driver is a stand-in: orphans ended, strangers left alone and named."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dynamo_cli.supervisor.processes import alive, identify
from tests.gpus.fake import build_driver, driver_environment
from tests.integration.dynamo import Dynamo
from tests.supervisor.harness import until


def test_orphans_end_and_strangers_are_avoided(dynamo: Dynamo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = {"DYNAMO_HOME": os.environ["DYNAMO_HOME"], "DYNAMO_DEPLOYMENT_ID": "0123456789abcdef"}
    topology = dynamo.write('[workers.decode]\nengine = "echo"\ngpus = 1\n[frontend]\nport = 0\n')
    with (
        subprocess.Popen(["sleep", "100"], env={**os.environ, **marks}) as orphan,
        subprocess.Popen(["sleep", "100"]) as stranger,
    ):
        words = (f"GPU-a:80:{orphan.pid}=1", f"GPU-b:20:{stranger.pid}=60")
        for name, value in driver_environment(build_driver(tmp_path), *words).items():
            monkeypatch.setenv(name, value)
        try:
            up = dynamo.run("up", "-d", topology)
            assert up.code == 0, up.err
            assert f"ended pid {orphan.pid}, which a deployment that is no more left on a GPU" in up.err
            assert orphan.wait(5) == -9
            (decode,) = (s for s in dynamo.status()["services"] if s["name"] == "decode-0")
            assert decode["gpus"] == ["GPU-a"]
            (gpu,) = until(lambda: dynamo.status()["measured_gpus"], 10.0, "what the driver tells")
            assert (gpu["index"], gpu["services"], gpu["utilization"]) == (0, ["decode-0"], 0.37)
            assert "GPU 0 Fake 80  37%" in dynamo.run("top", "-n", "1").out
            plan = dynamo.run("plan", topology, "--set", "name=other").out
            assert f"GPU 1 left out: sleep (pid {stranger.pid}) holds 60.0 GiB" in plan
            second = dynamo.run("up", "-d", topology, "--set", "name=other", "--set", "workers.decode.gpu_memory=30GiB")
            assert second.code == 4
            assert "GPU 1 left out: 30.0 GiB wanted, sleep (pid " in second.err
            found = identify(stranger.pid)
            assert found and alive(found)
        finally:
            dynamo.run("down")
            for child in (orphan, stranger):
                child.kill()
