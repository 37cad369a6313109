"""Real processes that say how far they are, and that fail in well-known ways."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dynamo_cli.errors import NotReady, UsageError
from dynamo_cli.logs.files import OWN_LOG, log_file
from dynamo_cli.runtime.control import Progress, ServiceStatus
from dynamo_cli.supervisor import table
from dynamo_cli.supervisor.reader import read_crash
from dynamo_cli.topology.process import Probe, RestartPolicy
from tests.supervisor.harness import Running, foreground, run_plan, until
from tests.supervisor.plans import custom, custom_plan, plan

NEVER = RestartPolicy(mode="no")
STAYS = custom("exec sleep 1000", 1)
"""Beside a process that fails it keeps the deployment up."""
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB"
FAILING = f"""
echo 'Starting to load model m...'
echo 'Loading safetensors checkpoint shards:  38% Completed | 3/8 [00:12<00:20,  4.00s/it]'
echo "$OPEN $HF_TOKEN" >&2
sleep 0.4
echo '{OOM} of which 512.00 MiB is free.' >&2
echo 'RuntimeError: Engine core initialization failed. See root cause above.' >&2
exit 1
"""
LOADING = """
echo 'Starting to load model m...'
echo 'Loading safetensors checkpoint shards:  38% Completed | 3/8 [00:12<00:20,  4.00s/it]'
while [ ! -e "$GO" ]; do sleep 0.02; done
printf '\\rCapturing CUDA graphs:  43%%|####      | 29/67 [00:02<00:03, 12.15it/s]'
while [ ! -e "$GO.on" ]; do sleep 0.02; done
echo; echo 'everything is up'
exec sleep 1000
"""


def service(running: Running) -> ServiceStatus:
    """The first one; one of which nothing is known while the supervisor does not answer yet."""
    try:
        return running.status().services[0]
    except NotReady:
        return ServiceStatus(name="", kind="")


def test_the_phase_of_a_program_that_is_not_ours(tmp_path: Path) -> None:
    go = tmp_path / "go"
    spec = custom(LOADING, env={"GO": str(go)}, probe=Probe(kind="log", pattern="everything is up"))
    with foreground(plan(spec, models=())) as running:
        running.until("STARTING")
        until(lambda: service(running).phase == "weights", what="the phase weights")
        status = service(running)
        assert (status.state, status.reason, status.progress) == ("LOADING", "weights 3/8", Progress(38.0, 3, 8))
        assert running.status().reason == "decode-0: weights 3/8"
        go.touch()
        until(lambda: service(running).phase == "graph capture", what="the phase graph capture")
        assert service(running).progress == Progress(43.0, 29, 67)
        go.with_suffix(".on").touch()
        status = running.until("READY").services[0]
        assert (status.phase, status.phase_s, status.progress) == ("", 0.0, None)
        assert set(status.phases) == {"weights", "graph capture"} and all(s > 0 for s in status.phases.values())
        told = log_file(running.paths, OWN_LOG).read_text() if log_file(running.paths, OWN_LOG).exists() else ""
        assert "LOADING: weights 3/8" in told or not told


def test_a_failure_has_its_hint_and_its_evidence(clean_environment: Path) -> None:
    secrets = {"HF_TOKEN": "hf_abcdefghijklmnop", "OPEN": "sk-abcdefghijklmnop", "VLLM_X": "1"}
    script = f": vllm serve\n{FAILING}"
    spec = custom(script, env=secrets, restart=NEVER, probe=Probe(kind="log", pattern="never written"))
    with foreground(plan(spec, STAYS, models=())) as running:
        until(lambda: service(running).evidence, what="evidence")
        until(lambda: service(running).state == "FAILED", what="FAILED")
        status = service(running)
        assert status.reason.startswith(
            "exited with code 1: out of GPU memory (2.00 GiB wanted, 512.00 MiB free of 79.10 GiB): give "
            "--gpu-memory-utilization 0.85"
        )
        assert status.hint in status.reason and status.reason.endswith("restart is off")
        assert status.last_exit.endswith("See root cause above.")
        evidence = Path(status.evidence)
        assert evidence.parent == running.paths.logs / "crashes"
        assert f"decode-0: evidence in {evidence}" in table.plain(running.status())
        told = json.loads((evidence / "crash.json").read_text())
        assert told["hint"] == status.hint and told["phase"] == "weights" and told["code"] == 1
        assert told["progress"] == {"percent": 38.0, "done": 3, "total": 8} and told["uptime_s"] > 0.3
        assert told["environment"]["VLLM_X"] == "1" and told["environment"]["HF_TOKEN"] == "***"
        assert OOM in (evidence / "output.log").read_text()
        for file in evidence.iterdir():
            assert not any(secret in file.read_text() for secret in secrets.values() if len(secret) > 1)


def test_the_last_failure_is_shown_on_demand(clean_environment: Path) -> None:
    with foreground(plan(custom(FAILING, restart=NEVER), STAYS, models=())) as running:
        until(lambda: service(running).evidence, what="evidence")
        shown = read_crash("test", "decode-0")
        assert shown.startswith("decode-0 (custom) exited with code 1") and OOM in shown
        with pytest.raises(NotReady, match="decode-1 of test never failed"):
            read_crash("test", "decode-1")
        with pytest.raises(UsageError, match="did you mean decode-0"):
            read_crash("test", "decod-0")


def test_up_ends_with_the_hint_and_the_place_of_the_evidence() -> None:
    process = run_plan(plan(custom(FAILING, restart=NEVER), models=()))
    _, err = process.communicate(timeout=15)
    complaint = err.splitlines()
    first = next(i for i, line in enumerate(complaint) if line.startswith("dynamo: deployment test failed:"))
    assert "out of GPU memory" in complaint[first]
    assert complaint[first + 1].startswith("dynamo: evidence in ") and "/logs/crashes/decode-0-" in complaint[first + 1]
    assert complaint[-1].endswith("See root cause above.")


def test_an_end_in_good_order_leaves_no_evidence() -> None:
    with foreground(custom_plan("echo 'OSError: [Errno 28] No space left on device'; exec sleep 1000")) as running:
        running.until("READY")
        running.client.act("restart", ["decode-0"])
        until(lambda: running.status().state == "READY" and service(running).pid, what="READY again")
    assert not (running.paths.logs / "crashes").exists()


def test_a_kill_from_outside_has_evidence_and_no_hint() -> None:
    with foreground(custom_plan("echo 'OSError: [Errno 28] No space left on device'; exec sleep 1000")) as running:
        running.until("READY")
        os.kill(running.pid("decode-0") or 0, 9)
        until(lambda: service(running).evidence, what="evidence")
        assert (service(running).hint, service(running).last_exit) == ("", "killed by SIGKILL")
        told = json.loads(Path(service(running).evidence, "crash.json").read_text())
        assert told["ready_s"] > 0


def test_a_place_that_cannot_be_written_to_is_no_trouble() -> None:
    with foreground(custom_plan("while :; do sleep 0.02; done")) as running:
        running.until("READY")
        (running.paths.logs / "crashes").write_text("in the way")
        os.kill(running.pid("decode-0") or 0, 9)
        until(lambda: service(running).restarts == 1 and service(running).ready, what="another start")
        assert service(running).evidence == ""


def test_evidence_stays_few() -> None:
    policy = RestartPolicy(backoff_s=0.01, backoff_max_s=0.01, max_restarts=14, window_s=60)
    with foreground(plan(custom("exit 7", restart=policy), STAYS, models=())) as running:
        until(lambda: service(running).state == "FAILED", 20.0, what="FAILED")
        crashes = running.paths.logs / "crashes"
        until(lambda: len(list(crashes.glob("decode-0-*"))) == 10, what="ten crashes")
