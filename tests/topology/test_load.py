from __future__ import annotations

from pathlib import Path

from dynamo_cli.topology.load import load_topology
from dynamo_cli.topology.parts import Frontend, Pool, Router, Runtime, Topology
from dynamo_cli.topology.process import Dependency, Liveness, RestartPolicy

SMALL = 'model = "org/model"\n[workers.decode]\n'

FULL = """\
name = "full"
model = "org/model"
[frontend]
host = "::"
port = 0
replicas = 3
[router]
mode = "power-of-two"
[runtime]
namespace = "blue"
[workers.decode]
engine = "mock"
model = "org/other"
role = "aggregated"
replicas = 0
gpus = [1, "GPU-a"]
tensor_parallel = 2
args = ["-x", ""]
options = { seed = 3 }
env = { A = "", DYN_LOG = "debug" }
depends_on = ["frontend"]
cwd = "."
liveness = { interval_s = 1, timeout_s = 2, failures = 3 }
memory_limit = "8GiB"
stop_timeout_s = 1
ready_timeout_s = 2.5
[workers.decode.restart]
mode = "always"
max_restarts = 1
window_s = 2
backoff_s = 0
backoff_max_s = 1.5
jitter = 0
stable_s = 5
success_codes = [0, 3]
"""


def load(folder: Path, text: str, name: str = "small.toml") -> Topology:
    file = folder / name
    file.write_bytes(text.encode())
    return load_topology(file)


def test_defaults(tmp_path: Path) -> None:
    topology = load(tmp_path, SMALL)
    assert (topology.name, topology.model) == ("small", "org/model")
    assert topology.frontend == Frontend(host="127.0.0.1", port=8000, replicas=1)
    assert topology.router.mode == "round-robin"
    assert topology.runtime.namespace == "dynamo"
    assert topology.workers == {"decode": Pool(name="decode", engine="auto", gpus="auto", replicas=1)}
    assert topology.source == str(tmp_path / "small.toml")


def test_every_key(tmp_path: Path) -> None:
    topology = load(tmp_path, FULL)
    assert topology.frontend == Frontend(host="::", port=0, replicas=3)
    assert topology.router == Router(mode="power-of-two")
    assert topology.runtime == Runtime(namespace="blue")
    assert topology.workers["decode"] == Pool(
        name="decode",
        engine="mock",
        model="org/other",
        replicas=0,
        gpus=(1, "GPU-a"),
        tensor_parallel=2,
        args=("-x", ""),
        options={"seed": 3},
        env={"A": "", "DYN_LOG": "debug"},
        depends_on=(Dependency("frontend"),),
        restart=RestartPolicy(
            mode="always",
            max_restarts=1,
            window_s=2.0,
            backoff_s=0.0,
            backoff_max_s=1.5,
            jitter=0.0,
            stable_s=5.0,
            success_codes=(0, 3),
        ),
        cwd=str(tmp_path),
        liveness=Liveness(interval_s=1.0, timeout_s=2.0, failures=3),
        memory_limit=8 << 30,
        stop_timeout_s=1.0,
        ready_timeout_s=2.5,
    )


def test_restart_as_one_word(tmp_path: Path) -> None:
    topology = load(tmp_path, SMALL + 'restart = "no"')
    assert topology.workers["decode"].restart == RestartPolicy(mode="no")


def test_the_name_comes_from_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL, "My App v1.2.toml").name == "my-app-v1-2"
    assert load(tmp_path, SMALL, "x" * 60 + ".toml").name == "x" * 40
    assert load(tmp_path, SMALL, "ü.toml").name == "local"


def test_a_byte_order_mark_and_windows_newlines_are_read(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff" + SMALL.replace("\n", "\r\n")).model == "org/model"
