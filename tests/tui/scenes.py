"""Deployments as they might be, with the logs they might have: what the pictures show and the tests look at."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from dynamo_cli.logs.stamp import stamp
from dynamo_cli.protocol.detail import ProbeResult, ServiceDetail
from dynamo_cli.protocol.measures import GpuMeasures, ProcessUse, Traffic, WorkerMeasures
from dynamo_cli.runtime.control import Change, DeploymentStatus, Progress, ServiceStatus
from tests.tui.fake import FakeDeployment, fake_deployment

GIB = 1 << 30
MODEL = "Qwen/Qwen3-32B"
NOON = 1_790_000_000.0
OUT_OF_MEMORY = "out of GPU memory while it took room for the KV cache"
HINT = "lower gpu_memory_utilization to 0.84, or max_model_len: 3.1 GiB are missing on GPU 3"


class Scene(NamedTuple):
    """`past`: what the traffic was like, a second apart, the latest last."""

    status: DeploymentStatus
    logs: dict[str, list[str]]
    past: list[Traffic]

    def begin(self) -> FakeDeployment:
        """Such a deployment, with its logs written."""
        deployment = fake_deployment(self.status)
        for service, lines in self.logs.items():
            deployment.log(service, *lines)
        deployment.fake.details = {service.name: detail(service) for service in self.status.services}
        return deployment


def frontend(**more: Any) -> ServiceStatus:
    return ready("frontend-0", "frontend", **{"pool": "frontend", "pid": 48_210, "ports": {"http": 8000}, **more})


def ready(name: str, kind: str, **more: Any) -> ServiceStatus:
    fields = {"state": "READY", "ready": True, "uptime_s": 750.0, "use": ProcessUse(cpu=0.31, memory=GIB // 3), **more}
    return ServiceStatus(name=name, kind=kind, **fields)


def worker(replica: int, **more: Any) -> ServiceStatus:
    fields = {
        "pool": "decode",
        "replica": replica,
        "engine": "vllm",
        "model": MODEL,
        "pid": 48_300 + 17 * replica,
        "gpus": [f"GPU-{replica}f3a9c1e"],
        "ports": {"system": 9090 + replica},
        "phases": {"weights": 21.4, "compile": 33.9, "KV cache": 1.2, "graphs": 8.7},
        "use": ProcessUse(cpu=1.12 + replica / 9, memory=int(5.4 * GIB) + replica * 90_000_000),
        **more,
    }
    return ready(f"decode-{replica}", "worker", **fields)


def serving(replica: int, **more: Any) -> WorkerMeasures:
    fields: dict[str, Any] = {
        "running": (31, 28, 34, 30)[replica],
        "waiting": (0, 0, 3, 0)[replica],
        "kv_usage": (0.64, 0.58, 0.91, 0.61)[replica],
        "hit": (0.47, 0.52, 0.44, 0.49)[replica],
        "requests_s": 3.1,
        "prompt_tokens_s": 6200.0 + 300 * replica,
        "output_tokens_s": (1241.0, 1187.0, 1302.0, 1210.0)[replica],
        "ttft_p50_s": (0.187, 0.179, 0.342, 0.191)[replica],
        **more,
    }
    return WorkerMeasures(**fields)


def gpu(index: int, used_gib: float = 71.8, use: float = 0.93, **more: Any) -> GpuMeasures:
    fields: dict[str, Any] = {
        "name": "NVIDIA H100 80GB HBM3",
        "uuid": f"GPU-{index}f3a9c1e",
        "memory_used": int(used_gib * GIB),
        "memory_total": 80 * GIB,
        "utilization": use,
        "temperature_c": 61 + index,
        "power_w": 518.0 + 21 * index if use else 74.0,
        "services": [f"decode-{index}"],
        **more,
    }
    return GpuMeasures(index=index, **fields)


def traffic(second: int = 0) -> Traffic:
    """With waves, so that graphs have something to show."""
    wave = 1 + 0.28 * math.sin(second / 9) + 0.1 * math.sin(second / 2.3)
    return Traffic(
        window_s=5.0,
        in_flight=int(123 * wave),
        requests_s=12.6 * wave,
        output_tokens_s=4940.0 * wave,
        prompt_tokens_s=25_900.0 * (2 - wave),
        ttft_p50_s=0.194,
        ttft_p99_s=0.871,
        itl_p50_s=0.0243,
        itl_p99_s=0.0612,
        requests_total=9_412,
        output_tokens_total=3_704_118,
    )


def detail(service: ServiceStatus) -> ServiceDetail:
    passed = service.ready
    return ServiceDetail(
        name=service.name,
        argv=["/opt/dynamo/bin/python", "-m", "dynamo_cli", service.kind, *_flags(service)],
        env={"CUDA_VISIBLE_DEVICES": service.gpus[0], "HF_TOKEN": "***"} if service.gpus else {"DYN_HTTP_PORT": "8000"},
        inherited={"HF_HOME": "/data/huggingface", "PYTHONUNBUFFERED": "1"},
        ports=service.ports,
        probes=[
            ProbeResult(
                time=NOON + i, kind="admin", passed=passed, took_ms=0.8 + i % 3 / 5, reason="" if passed else "starting"
            )
            for i in range(20)
        ],
        log=f"~/.local/state/dynamo/chat/logs/{service.name}.log",
    )


def _flags(service: ServiceStatus) -> list[str]:
    if service.kind != "worker":
        return ["--router-mode", "kv", "--http-port", "8000"]
    return ["--engine", service.engine, "--model", MODEL, "--max-model-len", "32768", "--tensor-parallel-size", "1"]


def deployment(state: Any, services: list[ServiceStatus], **more: Any) -> DeploymentStatus:
    fields = {
        "deployment": "chat",
        "state": state,
        "url": "http://127.0.0.1:8000",
        "models": [MODEL],
        "supervisor_pid": 48_201,
        "uptime_s": 750.0,
        "topology": "chat.toml",
        "services": services,
        **more,
    }
    return DeploymentStatus(**fields)


def under_load() -> Scene:
    services = [frontend(), router(), *(worker(i, serving=serving(i)) for i in range(4))]
    status = deployment("READY", services, traffic=traffic(299), measured_gpus=[gpu(i) for i in range(4)])
    return Scene(status, busy_logs(), [traffic(i) for i in range(300)])


def router() -> ServiceStatus:
    return ready("router-0", "router", pool="router", pid=48_244, ports={"system": 9089})


def starting() -> Scene:
    def loading(replica: int, phase: str, reason: str, seconds: float, progress: Progress | None) -> ServiceStatus:
        return worker(
            replica,
            state="LOADING",
            ready=False,
            uptime_s=41.0,
            phase=phase,
            phase_s=seconds,
            progress=progress,
            reason=reason,
            phases={"weights": 21.4},
        )

    services = [
        frontend(uptime_s=42.0),
        ready("router-0", "router", pool="router", pid=48_244, uptime_s=42.0),
        loading(0, "compile", "compile", 6.0, None),
        loading(1, "weights", "weights 11/14", 19.0, Progress(78.6, 11, 14)),
        loading(2, "weights", "weights 5/14", 19.0, Progress(35.7, 5, 14)),
        loading(3, "download", "download 62 %", 40.0, Progress(62.0)),
    ]
    reason = "decode-0: compile; decode-1: weights 11/14; decode-2: weights 5/14; and 1 more"
    gpus = [gpu(i, used, 0.0) for i, used in enumerate((66.1, 51.9, 24.2, 1.1))]
    status = deployment("STARTING", services, reason=reason, uptime_s=42.0, measured_gpus=gpus, traffic=Traffic())
    return Scene(status, loading_logs(), [Traffic()] * 40)


def one_failed() -> Scene:
    failed = broken(3, "BACKOFF", restarts=2)
    failed.reason = f"{OUT_OF_MEMORY}; starts again in 4 s"
    services = [frontend(), router(), *(worker(i, serving=serving(i)) for i in range(3)), failed]
    change = Change(id=3, what="restart of decode", pools=["decode"])
    status = deployment(
        "DEGRADED",
        services,
        reason=f"decode-3: {failed.reason}",
        first_failed="decode-3",
        traffic=traffic(200),
        measured_gpus=[*(gpu(i) for i in range(3)), gpu(3, 77.4, 0.0, services=["decode-3"])],
        changes=[change],
    )
    return Scene(status, {**busy_logs(3), "decode-3": failure_log(3)}, [traffic(i) for i in range(201)])


def all_failed() -> Scene:
    services = [frontend(), router(), *(broken(i, "FAILED", restarts=5) for i in range(4))]
    gave_up = "gave up after 5 restarts in 60 s"
    for service in services[2:]:
        service.reason = f"{OUT_OF_MEMORY}; {gave_up}"
    status = deployment(
        "FAILED",
        services,
        reason=f"decode-0: {OUT_OF_MEMORY}; {gave_up}",
        first_failed="decode-0",
        uptime_s=212.0,
        traffic=Traffic(),
        measured_gpus=[gpu(i, 1.1, 0.0) for i in range(4)],
    )
    return Scene(status, {f"decode-{i}": failure_log(i) for i in range(4)}, [Traffic()] * 200)


def broken(replica: int, state: Any, restarts: int) -> ServiceStatus:
    return worker(
        replica,
        state=state,
        ready=False,
        pid=None,
        uptime_s=0.0,
        restarts=restarts,
        exit_code=1,
        last_exit="exited with code 1",
        hint=HINT.replace("GPU 3", f"GPU {replica}"),
        evidence=f"~/.local/state/dynamo/chat/logs/crashes/decode-{replica}-20260921T141320",
        use=None,
        phases={"weights": 20.9},
    )


def lines(began: float, texts: list[str], step: float = 0.37) -> list[str]:
    return [f"{stamp(began + i * step)} {text}" for i, text in enumerate(texts)]


def clock(began: float, i: int, step: float = 0.37) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(began + i * step))


def busy_logs(workers: int = 4) -> dict[str, list[str]]:
    chosen = random.Random(7)
    logs = {"frontend-0": lines(NOON, [_request(chosen, i) for i in range(90)])}
    for replica in range(workers):
        logs[f"decode-{replica}"] = lines(NOON + 0.1 * replica, [_engine(chosen, i) for i in range(20)], 1.7)
    logs["decode-1"][-1:] = [
        f"{stamp(NOON + 31.0)} WARNING scheduler: 2 requests were preempted: the KV cache is full",
    ]
    return logs


def _request(chosen: random.Random, i: int) -> str:
    prompt, out = chosen.randint(300, 4000), chosen.randint(40, 700)
    return (
        f"{clock(NOON, i)} INFO dynamo.frontend: POST /v1/chat/completions 200 prompt={prompt} tokens={out} "
        f"ttft={chosen.randint(120, 420)} ms total={out * 24 / 1000:.1f} s worker=decode-{chosen.randrange(4)} "
        f"request=req-5c1f-{i:04x}"
    )


def _engine(chosen: random.Random, i: int) -> str:
    return (
        f"INFO {clock(NOON, i, 1.7)} [loggers.py:257] Engine 000: Avg prompt throughput: "
        f"{chosen.randint(58, 69) * 100} tokens/s, Avg generation throughput: {chosen.randint(1150, 1320)} "
        f"tokens/s, Running: {chosen.randint(26, 35)} reqs, "
        f"Waiting: 0 reqs, GPU KV cache usage: {chosen.randint(55, 70)} %"
    )


def loading_logs() -> dict[str, list[str]]:
    def shards(replica: int, done: int) -> list[str]:
        first = [
            "INFO [arg_utils.py:592] Using max model len 32768",
            "INFO [gpu_model_runner.py:3259] Starting to load model Qwen/Qwen3-32B ...",
        ]
        return lines(
            NOON + replica / 5,
            [
                *first,
                *(
                    f"Loading safetensors checkpoint shards: {i * 100 // 14} % Completed | {i}/14"
                    for i in range(done + 1)
                ),
            ],
            1.5,
        )

    logs = {f"decode-{i}": shards(i, done) for i, done in enumerate((14, 11, 5))}
    logs["decode-0"] += lines(NOON + 25, ["INFO [backends.py:618] Using cache directory for torch.compile"])
    logs["decode-3"] = lines(NOON, [f"model-{i:05d}-of-00014.safetensors: done" for i in range(1, 9)], 4.5)
    logs["frontend-0"] = lines(NOON, ["10:13:20 INFO dynamo.frontend: waiting for workers of Qwen/Qwen3-32B"])
    return logs


def failure_log(replica: int) -> list[str]:
    return lines(
        NOON + 4 + replica / 7,
        [
            "INFO [gpu_model_runner.py:3338] Model loading took 61.0347 GiB and 20.913 seconds",
            "INFO [backends.py:618] Using cache directory for torch.compile",
            "ERROR [core.py:936] EngineCore failed to start.",
            "Traceback (most recent call last):",
            '  File "vllm/v1/engine/core.py", line 927, in run_engine_core',
            "    engine_core = EngineCoreProc(*args, engine_index=dp_rank, **kwargs)",
            '  File "vllm/v1/core/kv_cache_utils.py", line 708, in check_enough_kv_cache_memory',
            "ValueError: To serve at least one request with the model's max seq len (32768), 8.00 GiB KV cache is "
            "needed, which is larger than the available KV cache memory (4.87 GiB).",
        ],
        0.2,
    )


SCENES: dict[str, Callable[[], Scene]] = {
    "starting": starting,
    "under-load": under_load,
    "one-failed": one_failed,
    "all-failed": all_failed,
}
