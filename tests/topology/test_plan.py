from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.errors import EngineMissing, ResourceMissing, TopologyError
from dynamo_cli.gpus.described import described_gpus
from dynamo_cli.topology.process import (
    READY_TIMEOUT_S,
    Dependency,
    GpuAssignment,
    Liveness,
    Plan,
    Probe,
    ProcessSpec,
    RestartPolicy,
)
from dynamo_cli.workers.engines.registry import SPECS
from tests.topology.machines import GIB, gpu, machine, plan

MOCK = 'model = "org/model"\n[workers.decode]\nengine = "mock"\n'
HUNGRY = MOCK.replace("mock", "hungry")
CUSTOM = '[workers.decode]\nengine = "custom"\noptions.command = ["sleep", "9"]\n'


def names(made: Plan) -> list[str]:
    return [process.name for process in made.processes]


def worker(made: Plan, name: str = "decode-0") -> ProcessSpec:
    return next(process for process in made.processes if process.name == name)


def devices(made: Plan) -> dict[str, str]:
    return {p.name: p.env["CUDA_VISIBLE_DEVICES"] for p in made.processes if p.kind == "worker"}


def test_a_whole_plan(tmp_path: Path) -> None:
    text = """\
name = "blue"
model = "org/model"
[frontend]
port = 8001
[router]
mode = "random"
[runtime]
namespace = "sky"
[workers.decode]
engine = "hungry"
tensor_parallel = 2
args = ["--max-model-len", "8192"]
options.depth = 2
env = { A = "b" }
restart = "always"
stop_timeout_s = 3
ready_timeout_s = 9
"""
    made = plan(tmp_path, text, machine(gpu(0), gpu(1, 79, (7,)), gpu(2)))
    assert made == Plan(
        deployment="blue",
        source=str(tmp_path / "deploy.toml"),
        host="127.0.0.1",
        port=8001,
        models=("org/model",),
        processes=(
            ProcessSpec(
                name="frontend-0",
                kind="frontend",
                pool="frontend",
                replica=0,
                argv=(
                    *("python3", "-m", "dynamo_cli", "frontend"),
                    *("--listen-fd", "{listen_fd}", "--router-mode", "random"),
                ),
                env={"DYN_NAMESPACE": "sky"},
                inherits_listener=True,
                liveness=Liveness(),
            ),
            ProcessSpec(
                name="decode-0",
                kind="worker",
                pool="decode",
                replica=0,
                role="aggregated",
                engine="hungry",
                engine_reason="set in the topology",
                model="org/model",
                argv=(
                    *("python3", "-m", "dynamo_cli", "worker", "--engine", "hungry"),
                    *("--model-path", "org/model", "--model-name", "org/model", "--options", '{"depth":2}'),
                    *("--tensor-parallel-size", "2", "--", "--max-model-len", "8192"),
                ),
                env={
                    "DYN_NAMESPACE": "sky",
                    "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-c",
                    "DYN_PORT_HTTP": "40000",
                    "DYN_PORT_KV_EVENTS": "40001",
                    "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT": "2.4",
                    "A": "b",
                },
                ports={"http": 40000, "kv-events": 40001},
                gpus=(
                    GpuAssignment(0, "GPU-a", "Fake", 80 * GIB, 80 * GIB),
                    GpuAssignment(2, "GPU-c", "Fake", 80 * GIB, 80 * GIB),
                ),
                gpus_reason="GPUs 0,2: 80.0 GiB free each",
                probe=Probe(kind="admin", timeout_s=9.0),
                liveness=Liveness(),
                restart=RestartPolicy(mode="always"),
                stop_timeout_s=3.0,
            ),
        ),
    )


def test_replicas_and_the_order_of_start(tmp_path: Path) -> None:
    text = MOCK + 'replicas = 2\ndepends_on = ["late"]\n[workers.late]\nengine = "echo"\n[frontend]\nreplicas = 2\n'
    made = plan(tmp_path, text, machine())
    assert names(made) == ["frontend-0", "frontend-1", "late-0", "decode-0", "decode-1"]
    assert worker(made, "decode-1").depends_on == (Dependency("late-0"),)
    assert worker(made, "late-0").depends_on == ()
    assert [worker(made, name).replica for name in ("decode-0", "decode-1")] == [0, 1]


def test_a_migration_limit_is_passed_to_the_frontends(tmp_path: Path) -> None:
    made = plan(tmp_path, MOCK + "[frontend]\nmigration_limit = 0\nreplicas = 2", machine())
    assert {process.argv[-2:] for process in made.processes if process.kind == "frontend"} == {
        ("--migration-limit", "0")
    }


def test_a_pool_may_wait_for_the_frontends(tmp_path: Path) -> None:
    made = plan(tmp_path, MOCK + 'depends_on = ["frontend"]', machine())
    assert worker(made).depends_on == (Dependency("frontend-0"),)


def test_models_are_what_must_answer(tmp_path: Path) -> None:
    text = (
        MOCK + '[workers.b]\nengine = "mock"\nmodel = "org/b"\n[workers.c]\nengine = "mock"\nreplicas = 0\nmodel = "c"'
    )
    assert plan(tmp_path, text, machine()).models == ("org/model", "org/b")
    assert plan(tmp_path, '[workers.decode]\nengine = "echo"', machine()).models == ("echo",)
    assert plan(tmp_path, CUSTOM, machine()).models == ()
    assert plan(tmp_path, 'model = "m"\n' + CUSTOM, machine()).models == ("m",)


def test_a_model_by_path_is_served_under_its_files_name(tmp_path: Path) -> None:
    text = MOCK.replace("org/model", "./models/Tiny.gguf") + '[workers.b]\nengine = "mock"\nmodel = "/m/Big.v1/"'
    made = plan(tmp_path, text, machine())
    assert made.models == ("Tiny", "Big.v1")
    path = str(tmp_path / "models/Tiny.gguf")
    assert worker(made).argv[6:10] == ("--model-path", path, "--model-name", "Tiny")


def test_an_engine_without_a_model_is_told_no_path(tmp_path: Path) -> None:
    made = plan(tmp_path, '[workers.decode]\nengine = "echo"', machine())
    assert worker(made).argv[3:] == ("worker", "--engine", "echo", "--model-name", "echo")


def test_custom_runs_its_own_command(tmp_path: Path) -> None:
    made = plan(tmp_path, CUSTOM + 'args = ["--", "x"]', machine())
    assert worker(made).argv == ("sleep", "9", "--", "x")
    assert worker(made).probe == Probe(kind="started")
    made = plan(tmp_path, CUSTOM + 'options.endpoint = "dynamo.backend.generate"', machine())
    assert worker(made).probe == Probe(kind="endpoint", endpoint="dynamo.backend.generate")


def test_a_command_may_run_on_our_own_interpreter(tmp_path: Path) -> None:
    made = plan(tmp_path, '[workers.decode]\nengine = "custom"\noptions.command = ["{python}", "x.py"]', machine())
    assert worker(made).argv == ("python3", "x.py")
    assert worker(made).foreign and worker(made).cwd == ""
    made = plan(tmp_path, '[services.a]\ncommand = "{python} -m x"', machine())
    assert made.processes[-1].argv == ("python3", "-m", "x")


TARGET = """
[workers.decode]
engine = "custom"
options = { target = "my_engine:Mine", args = { size = 3 } }
"""


def test_a_target_runs_in_a_worker_beside_its_file(tmp_path: Path) -> None:
    made = worker(plan(tmp_path, TARGET, machine()))
    options = '{"target":"my_engine:Mine","args":{"size":3}}'
    assert made.argv[3:] == ("worker", "--engine", "custom", "--model-name", "custom", "--options", options)
    assert (made.cwd, made.foreign, made.probe, made.liveness) == (str(tmp_path), False, Probe(), Liveness())
    (tmp_path / "src").mkdir()
    assert worker(plan(tmp_path, TARGET + 'cwd = "src"', machine())).cwd == str(tmp_path / "src")
    named = worker(plan(tmp_path, TARGET, machine(), "workers.decode.options.model_name='mine'"))
    assert (named.model, named.argv[6:8]) == ("mine", ("--model-name", "mine"))


def test_a_target_is_told_the_model_that_there_is(tmp_path: Path) -> None:
    missing = {"org/model": "org/model is not on this disk"}
    made = plan(tmp_path, 'model = "org/model"\n' + TARGET, machine(missing_models=missing))
    assert worker(made).argv[6:10] == ("--model-path", "org/model", "--model-name", "org/model")
    assert made.warnings == ("pool decode: org/model is not on this disk",)
    command = plan(tmp_path, 'model = "org/model"\n' + CUSTOM, machine(missing_models=missing))
    assert (worker(command).model, command.warnings) == ("org/model", ())


def test_auto_takes_what_fits_and_says_why(tmp_path: Path) -> None:
    text = MOCK.replace("mock", "auto")
    kinds = {"org/model": "gguf"}
    without = worker(plan(tmp_path, text, machine(model_kinds=kinds)))
    assert (without.engine, without.engine_reason) == ("mock", "no GPU here")
    with_one = worker(plan(tmp_path, text, machine(gpu(0))))
    assert (with_one.engine, with_one.engine_reason) == ("hungry", "1 here")
    hidden = worker(plan(tmp_path, text, machine(gpu(0), model_kinds=kinds), "workers.decode.gpus=0"))
    assert hidden.engine == "mock"
    with pytest.raises(EngineMissing, match=r"^pool decode: nothing fits$"):
        plan(tmp_path, text, machine())


def test_auto_offers_each_replica_its_share(tmp_path: Path) -> None:
    text = MOCK.replace("mock", "auto") + "replicas = 2"
    made = plan(tmp_path, text, machine(gpu(0), gpu(1), gpu(2)))
    assert worker(made).engine_reason == "1 here"
    assert devices(made) == {"decode-0": "GPU-a", "decode-1": "GPU-b"}


def test_options_of_auto_are_checked_against_the_choice(tmp_path: Path) -> None:
    text = MOCK.replace("mock", "auto") + "options.block_size = 2"
    assert worker(plan(tmp_path, text, machine(model_kinds={"org/model": "gguf"}))).engine == "mock"
    with pytest.raises(TopologyError) as caught:
        plan(tmp_path, text, machine(gpu(0)))
    assert caught.value.problems == [
        f"{tmp_path}/deploy.toml:4: workers.decode.options.block_size: unknown option; known here: depth "
        '(engine = "auto" is hungry: 1 here)'
    ]


def test_an_engine_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match=r"^pool decode: mock is not installed; run `pip install x`$"):
        plan(tmp_path, MOCK, machine(unavailable={"mock": "mock is not installed; run `pip install x`"}))


def test_a_missing_model_is_a_warning(tmp_path: Path) -> None:
    made = plan(tmp_path, MOCK + "replicas = 2", machine(missing_models={"org/model": "org/model is not here"}))
    assert made.warnings == ("pool decode: org/model is not here",)


def test_no_port_left(tmp_path: Path) -> None:
    with pytest.raises(ResourceMissing, match=r"^pool decode: no free port for kv-events$"):
        plan(tmp_path, HUNGRY, machine(gpu(0), free_ports=iter([1])))


def test_gpus_are_given_once(tmp_path: Path) -> None:
    text = HUNGRY + 'replicas = 2\n[workers.more]\nengine = "mock"\ngpus = 1\n[workers.none]\nengine = "mock"\n'
    made = plan(tmp_path, text, machine(gpu(0, 50), gpu(1, 70), gpu(2, 60), gpu(3, 40)))
    assert devices(made) == {"decode-0": "GPU-b", "decode-1": "GPU-c", "more-0": "GPU-a", "none-0": ""}


def test_listed_gpus_are_shared_and_nobody_elses(tmp_path: Path) -> None:
    text = HUNGRY + 'replicas = 1\n[workers.more]\nengine = "mock"\nreplicas = 2\ngpus = [1, "gpu-a"]'
    made = plan(tmp_path, text, machine(gpu(0, 5), gpu(1), gpu(2)))
    assert devices(made) == {"decode-0": "GPU-c", "more-0": "GPU-b,GPU-a", "more-1": "GPU-b,GPU-a"}
    assert worker(made, "more-1").gpus_reason == "GPUs 1,0: 5.0 to 80.0 GiB free; listed in the topology"
    assert made.warnings == ("pool more: GPU 0: only 5.0 GiB of 80.0 GiB free",)


def test_a_list_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r"deploy.toml:4: workers.decode.gpus: GPU 1 is listed twice: GPU-b is 1"):
        plan(tmp_path, MOCK + 'gpus = ["gpu-b", 1]', machine(gpu(0), gpu(1)))
    with pytest.raises(TopologyError, match=r"deploy.toml:4: workers.decode.gpus: a process can use one MIG instance"):
        plan(tmp_path, MOCK + 'gpus = ["MIG-0-0", "MIG-0-1"]', machine(*SPLIT))


def test_memory_of_others_is_avoided_and_told(tmp_path: Path) -> None:
    made = plan(tmp_path, HUNGRY, machine(gpu(0, 40, (7, 8)), gpu(1), gpu(2, 4)))
    assert devices(made) == {"decode-0": "GPU-b"}
    assert worker(made).gpus_reason == "GPU 1: 80.0 GiB free"
    assert made.gpu_notes == (
        "GPU 0 left out: only 40.0 GiB of 80.0 GiB free, python (pid 7) holds 1.0 GiB, python (pid 8) holds 1.0 GiB",
        "GPU 2 left out: only 4.0 GiB of 80.0 GiB free",
    )


def test_a_crowded_gpu_is_given_when_there_is_no_other(tmp_path: Path) -> None:
    made = plan(tmp_path, HUNGRY, machine(gpu(0, 40, (7,))))
    assert made.warnings == ("pool decode: GPU 0 has only 40.0 GiB of 80.0 GiB free: python (pid 7) holds 1.0 GiB",)
    enough = plan(tmp_path, HUNGRY + 'gpu_memory = "30GiB"', machine(gpu(0, 40, (7,))))
    assert not enough.warnings


def test_what_other_deployments_have_is_noted(tmp_path: Path) -> None:
    made = plan(tmp_path, HUNGRY, machine(gpu(0), gpu(1), held_gpus={"GPU-a": "blue"}))
    assert devices(made) == {"decode-0": "GPU-b"}
    assert made.gpu_notes == ("GPU 0 left out: deployment blue has it",)
    assert not plan(tmp_path, MOCK, machine(gpu(0), gpu(1), held_gpus={"GPU-a": "blue"})).gpu_notes


SPLIT = described_gpus("1xA100-80GB:mig-3g.40gb*2+mig-1g.10gb").gpus


def test_mig_instances(tmp_path: Path) -> None:
    text = HUNGRY + "replicas = 2\n"
    auto = plan(tmp_path, text, machine(*SPLIT))
    assert devices(auto) == {"decode-0": "MIG-0-0", "decode-1": "MIG-0-1"}
    assert worker(auto).gpus_reason == "MIG 3g.40gb of GPU 0: 39.0 GiB free"
    assert worker(auto).gpus[0].profile == "3g.40gb"
    small = plan(tmp_path, MOCK + 'gpus = "mig-1g.10gb"', machine(gpu(1), *SPLIT))
    assert devices(small) == {"decode-0": "MIG-0-2"}
    named = plan(tmp_path, MOCK + 'gpus = ["MIG-0-1"]', machine(*SPLIT))
    assert worker(named).gpus_reason == "MIG 3g.40gb of GPU 0: 39.0 GiB free; listed in the topology"
    beside = plan(tmp_path, text.replace("2", "1"), machine(gpu(1), *SPLIT))
    assert devices(beside) == {"decode-0": "GPU-b"}
    assert beside.gpu_notes == ("GPU 0 left out: it is in MIG mode",)


SHORT = {
    "none": (
        HUNGRY,
        machine(gpu_reason="no NVIDIA driver"),
        "pool decode wants 1 GPU, found none (no NVIDIA driver); "
        "set workers.decode.gpus = 0 or another workers.decode.engine",
    ),
    "number": (
        MOCK + "gpus = 2",
        machine(gpu(0), gpu_reason="CUDA_VISIBLE_DEVICES=0 leaves 1 of 8"),
        "pool decode wants 2 GPUs, found 1 GPU (CUDA_VISIBLE_DEVICES=0 leaves 1 of 8): 0 = GPU-a; "
        "set workers.decode.gpus = 0 or another workers.decode.engine",
    ),
    "replicas": (
        HUNGRY + "replicas = 3",
        machine(gpu(0), gpu(1)),
        "pool decode wants 3 GPUs (3 replicas of 1), found 2 GPUs: 0 = GPU-a, 1 = GPU-b; "
        "set workers.decode.gpus = 0, a smaller workers.decode.replicas or another workers.decode.engine",
    ),
    "taken by another pool": (
        MOCK + 'gpus = 1\n[workers.b]\nengine = "hungry"\n',
        machine(gpu(0)),
        "pool b wants 1 GPU, found 1 GPU: 0 = GPU-a, 1 of them given to pool decode; "
        "set workers.b.gpus = 0 or another workers.b.engine",
    ),
    "no memory": (
        HUNGRY,
        machine(gpu(0, 4, (7, 8))),
        "pool decode wants 1 GPU, found 1 GPU: 0 = GPU-a; GPU 0 left out: only 4.0 GiB of 80.0 GiB free, "
        "python (pid 7) holds 1.0 GiB, python (pid 8) holds 1.0 GiB; "
        "set workers.decode.gpus = 0 or another workers.decode.engine",
    ),
    "too little memory": (
        HUNGRY + 'gpu_memory = "79GiB"\nreplicas = 2',
        machine(gpu(0), gpu(1, 78)),
        "pool decode wants 2 GPUs (2 replicas of 1), found 2 GPUs: 0 = GPU-a, 1 = GPU-b; "
        "GPU 1 left out: 79.0 GiB wanted, only 78.0 GiB of 80.0 GiB free; "
        "set workers.decode.gpus = 0, a smaller workers.decode.replicas or another workers.decode.engine",
    ),
    "MIG of another size": (
        MOCK + 'gpus = "mig-1g.20gb"',
        machine(*SPLIT),
        "pool decode wants 1 mig-1g.20gb, found 0 MIG instances: MIG 3g.40gb of GPU 0 = MIG-0-0, "
        "MIG 3g.40gb of GPU 0 = MIG-0-1, MIG 1g.10gb of GPU 0 = MIG-0-2; "
        "set workers.decode.gpus = 0 or another workers.decode.engine",
    ),
    "a GPU in MIG mode": (
        MOCK + "gpus = [0]",
        machine(*SPLIT),
        "pool decode wants GPU 0, which is in MIG mode; list its instances: MIG-0-0 (3g.40gb), MIG-0-1 (3g.40gb), "
        'MIG-0-2 (1g.10gb), or write gpus = "mig"',
    ),
    "two MIG instances": (
        MOCK + "gpus = 2",
        machine(*SPLIT),
        "pool decode wants 2 GPUs, found 3 MIG instances: MIG 3g.40gb of GPU 0 = MIG-0-0, "
        "MIG 3g.40gb of GPU 0 = MIG-0-1, MIG 1g.10gb of GPU 0 = MIG-0-2; "
        "set workers.decode.gpus = 0 or another workers.decode.engine",
    ),
    "unknown id": (
        MOCK + "gpus = [0, 3]",
        machine(gpu(0)),
        "pool decode wants GPU 3, found 1 GPU: 0 = GPU-a; set workers.decode.gpus = 0 or another workers.decode.engine",
    ),
}


@pytest.mark.parametrize(("text", "inventory", "line"), SHORT.values(), ids=SHORT.keys())
def test_short_of_gpus(tmp_path: Path, text: str, inventory: object, line: str) -> None:
    with pytest.raises(ResourceMissing) as caught:
        plan(tmp_path, text, inventory)  # type: ignore[arg-type]
    assert str(caught.value) == line
    assert caught.value.exit_code == 4


def test_adapters_are_models_that_every_worker_loads(tmp_path: Path) -> None:
    text = MOCK + 'args = ["--x"]\nadapters = { "org/lora" = "loras/one", two = "/loras/two" }\n'
    made = plan(tmp_path, text, machine())
    argv = worker(made).argv
    at = argv.index("--adapter")
    assert argv[at:] == (
        "--adapter",
        f"org/lora={tmp_path}/loras/one",
        "--adapter",
        "two=/loras/two",
        "--",
        "--x",
    )


def test_a_process_has_as_long_to_start_as_its_engine_may_take(tmp_path: Path) -> None:
    slow, usual, chosen = "vllm", "mock", 9.0
    text = 'model = "org/model"\n' + "".join(
        f'[workers.{name}]\nengine = "{engine}"\ngpus = 0\n{more}\n'
        for name, engine, more in (("a", slow, ""), ("b", usual, ""), ("c", slow, f"ready_timeout_s = {chosen:g}"))
    )
    made = plan(tmp_path, text, machine())
    times = {p.pool: p.probe.timeout_s for p in made.processes if p.kind == "worker"}
    assert times == {"a": SPECS[slow].start_timeout_s, "b": READY_TIMEOUT_S, "c": chosen}
