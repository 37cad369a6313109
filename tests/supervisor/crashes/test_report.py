"""What a crash's files say, and that nothing secret is in them."""

from __future__ import annotations

import json

import msgspec

from dynamo_cli.gpus.gpu import Gpu, Holder
from dynamo_cli.gpus.health import Driver, GpuHealth
from dynamo_cli.runtime.control import Progress
from dynamo_cli.supervisor.crashes.crash import Crash
from dynamo_cli.supervisor.crashes.report import files
from dynamo_cli.supervisor.crashes.secrets import shown
from dynamo_cli.supervisor.crashes.surroundings import Surroundings
from tests.supervisor.plans import worker

GIB = 1 << 30
PASSED = 'p"ss\\phrase'
SECRETS = {
    "HF_TOKEN": "hf_abcdefghijklmnop",
    "DYN_TOKEN": "0123456789abcdef0123",
    "MY_API_KEY": "plain-and-long-value",
    "VLLM_API_KEY": PASSED,
    "MYSQL_PWD": "quite-innocent-name",
    "DYN_PROXY": "http://user:hunter2secret@proxy:8080",
}
ENVIRON = {**SECRETS, "VLLM_USE_V1": "1", "PATH": "/bin", "SOMETHING": "else"}
SPEC = worker(
    argv=("python", "-m", "x", "--api-key", "sesame-open-up", "--url", "http://u:pa55word@h/"),
    env={"VLLM_USE_V1": "1", "HF_TOKEN": SECRETS["HF_TOKEN"]},
)
LINES = (
    f"connecting with {SECRETS['MY_API_KEY']}",
    f"token {SECRETS['DYN_TOKEN']} was sent, {PASSED} too",
    f"using {SECRETS['MYSQL_PWD']}",
    "Authorization: Bearer abcdefghijklmnop",
)
CRASH = Crash(
    spec=SPEC,
    time=1_800_000_000.5,
    code=-6,
    words=f"killed by SIGABRT after {SECRETS['HF_TOKEN']}",
    hint="out of GPU memory: give less",
    phase="graph capture",
    progress=Progress(43.0, 29, 67),
    phases={"weights": 12.5},
    uptime_s=61.0,
    restarts=2,
    memory=(GIB, 2 * GIB),
    lines=LINES,
)
GPU = Gpu(index=0, uuid="GPU-1", name="H100", memory_total=80 * GIB, memory_free=GIB)
DRIVER = Driver(
    version="570.1",
    cuda="12.8",
    count=1,
    gpus=(GpuHealth(gpu=msgspec.structs.replace(GPU, holders=(Holder(4711, 61 * GIB),))),),
)


def written() -> dict[str, str]:
    environment = shown(ENVIRON)
    around = Surroundings(
        environment=environment.variables,
        other_variables=environment.other_names,
        memory={"MemTotal": "15.6 GiB"},
        gpus=DRIVER,
        versions={"python": "3.11"},
    )
    return files(CRASH, around, environment.secrets | {SECRETS["MYSQL_PWD"]})


def test_nothing_secret_is_in_any_file() -> None:
    for name, text in written().items():
        for secret in (*SECRETS.values(), "sesame-open-up", "pa55word", "hunter2secret", "abcdefghijklmnop"):
            assert secret not in text, f"{secret} in {name}"
            assert json.dumps(secret)[1:-1] not in text, f"{secret} in {name}"


def test_the_summary_tells_all_that_a_person_asks_first() -> None:
    summary = written()["summary.txt"]
    for words in (
        "decode-0 (mock) killed by SIGABRT",
        "hint: out of GPU memory: give less",
        "up 1 min, never ready",
        "restarts before it: 2",
        "phase: graph capture, 43 %",
        "weights = 12.5 s",
        "command: python -m x --api-key ***",
        "MemTotal = 15.6 GiB",
        "oldest look first: 1.0 GiB, 2.0 GiB",
        "driver 570.1, CUDA 12.8",
        "0 H100 GPU-1: 1.0 GiB free of 80.0 GiB, held by pid 4711 61.0 GiB",
        "VLLM_USE_V1 = 1",
        "also set: MYSQL_PWD MY_API_KEY SOMETHING",
    ):
        assert words in summary, words


def test_the_data_is_json_with_the_plans_entry() -> None:
    told = json.loads(written()["crash.json"])
    assert told["code"] == -6 and told["progress"] == {"percent": 43.0, "done": 29, "total": 67}
    assert told["spec"]["name"] == "decode-0" and told["spec"]["env"] == {"HF_TOKEN": "***", "VLLM_USE_V1": "1"}
    assert told["gpus"]["gpus"][0]["gpu"]["holders"] == [{"pid": 4711, "memory": 61 * GIB, "name": ""}]
    assert "lines" not in told


def test_short_values_make_no_holes() -> None:
    assert not shown({"A_TOKEN": "1", "B_TOKEN": ""}).secrets
