"""Services, conditions, liveness and memory on their way into the plan."""

from __future__ import annotations

from pathlib import Path

from dynamo_cli.topology.process import Dependency, Liveness, Plan, Probe, ProcessSpec
from tests.topology.machines import machine, plan

TEXT = """\
model = "m"
[services.setup]
command = "sh -c 'echo $HOME'"
[services.cache]
command = ["serve", "--port", "{port:http}", "--admin={port:admin}"]
ports = ["http", "admin"]
env = { PORT = "{port:admin}", DEBUG = "1" }
cwd = "."
depends_on = { setup = "exited", decode = "started" }
probe = { http = "/health" }
liveness = true
memory_limit = "1.5GiB"
stop_timeout_s = 3
ready_timeout_s = 7
[workers.decode]
engine = "mock"
replicas = 2
liveness = false
depends_on = ["setup"]
[workers.last]
engine = "mock"
depends_on = { decode = "ready", cache = { log = "list.*" } }
"""


def of(made: Plan, name: str) -> ProcessSpec:
    return next(process for process in made.processes if process.name == name)


def test_a_service_in_the_plan(tmp_path: Path) -> None:
    made = plan(tmp_path, TEXT, machine())
    cache = of(made, "cache")
    assert cache == ProcessSpec(
        name="cache",
        kind="service",
        pool="cache",
        replica=0,
        foreign=True,
        argv=("serve", "--port", "40000", "--admin=40001"),
        env={
            "DYN_NAMESPACE": "dynamo",
            "DYN_PORT_HTTP": "40000",
            "DYN_PORT_ADMIN": "40001",
            "PORT": "40001",
            "DEBUG": "1",
        },
        cwd=str(tmp_path),
        ports={"http": 40000, "admin": 40001},
        probe=Probe(kind="http", url="http://127.0.0.1:40000/health", timeout_s=7.0),
        liveness=Liveness(),
        restart=cache.restart,
        stop_timeout_s=3.0,
        depends_on=(
            Dependency("setup", "exited"),
            Dependency("decode-0", "started"),
            Dependency("decode-1", "started"),
        ),
    )
    assert cache.restart.memory_limit == 3 << 29
    assert of(made, "setup").argv == ("sh", "-c", "echo $HOME") and of(made, "setup").probe.kind == "started"


def test_order_follows_the_dependencies(tmp_path: Path) -> None:
    made = plan(tmp_path, TEXT, machine())
    assert [p.name for p in made.processes] == ["frontend-0", "setup", "decode-0", "decode-1", "cache", "last-0"]
    assert of(made, "last-0").depends_on == (
        Dependency("decode-0"),
        Dependency("decode-1"),
        Dependency("cache", "log", "list.*"),
    )


def test_liveness_of_our_own_unless_switched_off(tmp_path: Path) -> None:
    made = plan(tmp_path, TEXT, machine())
    assert of(made, "frontend-0").liveness == of(made, "last-0").liveness == Liveness()
    assert of(made, "decode-0").liveness is None and of(made, "setup").liveness is None


def test_every_kind_of_probe(tmp_path: Path) -> None:
    def probe(text: str) -> Probe:
        service = f'[services.a]\ncommand = "a"\nports = ["x"]\nready_timeout_s = 1\nprobe = {text}\n'
        return of(plan(tmp_path, service, machine()), "a").probe

    assert probe("{ tcp = 80 }") == Probe(kind="tcp", port=80, timeout_s=1.0)
    assert probe('{ tcp = "{port:x}" }') == Probe(kind="tcp", port=40000, timeout_s=1.0)
    assert probe('{ http = "http://h:{port:x}/y" }').url == "http://h:40000/y"
    assert probe('{ exec = ["nc", "{port:x}"] }') == Probe(kind="exec", command=("nc", "40000"), timeout_s=1.0)
    assert probe('{ log = "up" }') == Probe(kind="log", pattern="up", timeout_s=1.0)


def test_services_alone(tmp_path: Path) -> None:
    made = plan(tmp_path, '[services.a]\ncommand = "a"\n', machine())
    assert [p.name for p in made.processes] == ["frontend-0", "a"] and made.models == ()
