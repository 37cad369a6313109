"""The system server of real workers, on the port and on the admin socket."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from dynamo_cli.errors import Draining, UsageError
from dynamo_cli.protocol.engine import EngineRequest, StopConditions
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.workers.system.options import SystemOptions, system_options
from tests.workers.processes import Worker, peer, worker
from tests.workers.test_host import ends, health_becomes, until

pytestmark = pytest.mark.slow
MOCK = ("worker", "--engine", "mock", "--model-name", "mine", "--speedup-ratio", "0")
ON_A_PORT = {"DYN_SYSTEM_PORT": "0"}


async def url_of(process: Worker) -> str:
    found = await until(lambda: re.search(r"system server on (\S+)", process.log), 10)
    return str(found[1])


def admin(process: Worker) -> httpx.AsyncClient:
    path = DeploymentPaths("local").runtime_dir / f"pid-{process.pid}.sock"
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://admin")


async def message(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


async def test_health_and_metrics_on_a_port_of_its_own(clean_environment: Path) -> None:
    with worker(clean_environment, *MOCK, "--startup-time", "1", **ON_A_PORT) as process:
        url = await url_of(process)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            loading = await client.get("/health")
            assert (loading.status_code, loading.json()["status"]) == (503, "notready")
            assert (await client.get("/live")).status_code == 200
            assert await message(await client.post("/engine/control/sleep")) == (
                503,
                "/engine/control/sleep: the engine has not started yet",
            )
            await health_becomes(process.pid, "ready")
            health = (await client.get("/health")).json()
            assert health["status"] == "ready" and health["endpoints"] == {"generate": "ready"}
            assert health["uptime"]["secs"] >= 0 and 0 <= health["uptime"]["nanos"] < 10**9
            labels = (
                '{model="mine",engine="mock",dynamo_namespace="dynamo",dynamo_component="backend",'
                'dynamo_endpoint="generate"}'
            )
            assert f"dynamo_component_requests_total{labels} 0\n" in (await client.get("/metrics")).text
        async with admin(process) as own:
            assert (await own.get("/health")).json()["engine"] == "mock"
            assert (await own.get("/engine/control")).json() == {"controls": ["clear_kv_blocks", "sleep", "wake_up"]}
        assert url.startswith("http://127.0.0.1:")


async def test_controls_and_what_is_none(clean_environment: Path) -> None:
    with worker(clean_environment, *MOCK, **ON_A_PORT) as process:
        async with httpx.AsyncClient(base_url=await url_of(process), trust_env=False) as client, peer() as (_, engine):
            await engine.wait_for_instances(1, timeout_s=10)
            await health_becomes(process.pid, "ready")
            assert await message(await client.post("/engine/control/dance")) == (
                404,
                "engine mock has no control 'dance'; it has: clear_kv_blocks, sleep, wake_up",
            )
            assert (await client.post("/engine/control/start_profile")).status_code == 501
            assert (await client.get("/engine/control/sleep")).status_code == 405
            assert (await client.post("/engine/control/sleep", content="[")).status_code == 400
            assert (await client.post("/engine/control/sleep", headers={"origin": "http://evil"})).status_code == 403
            plain = {"content-type": "text/plain"}
            assert (await client.post("/engine/control/sleep", headers=plain)).status_code == 415
            asleep = await client.post("/engine/control/sleep", json={"level": 1})
            assert (asleep.status_code, asleep.json()) == (200, {"status": "ok"})
            await until(lambda: not engine.instances())
            health = await client.get("/health")
            assert (health.status_code, health.json()["reason"]) == (503, "the engine sleeps")
            assert (await client.post("/engine/wake_up")).status_code == 200
            await engine.wait_for_instances(1, timeout_s=10)
            assert (await client.get("/health")).status_code == 200


async def test_a_busy_port_is_exit_code_4(clean_environment: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with worker(clean_environment, *MOCK, DYN_SYSTEM_PORT=str(port)) as process:
            assert await ends(process, 10) == 4
            assert re.search(rf"^dynamo: port {port} .*in use", process.log.splitlines()[-1])


def test_where_it_listens() -> None:
    assert system_options({}) == system_options({"DYN_SYSTEM_PORT": "-1"}) == SystemOptions(None)
    assert system_options({"DYN_SYSTEM_PORT": "9", "DYN_SYSTEM_HOST": "::"}) == SystemOptions(9, "::")
    for wrong in ("x", "70000", "-2"):
        with pytest.raises(UsageError, match="DYN_SYSTEM_PORT"):
            system_options({"DYN_SYSTEM_PORT": wrong})


async def test_loras_come_and_go_while_the_worker_serves(clean_environment: Path) -> None:
    for name in ("one", "two"):
        (clean_environment / name).mkdir()
    given = ("--max-loras", "2", "--adapter", f"first={clean_environment}/one")
    with worker(clean_environment, *MOCK, *given, **ON_A_PORT) as process:
        async with httpx.AsyncClient(base_url=await url_of(process), trust_env=False) as client:
            await health_becomes(process.pid, "ready")
            first = {"lora_name": "first", "path": str(clean_environment / "one")}
            assert (await client.get("/v1/loras")).json() == {"status": "success", "loras": [first], "count": 1}
            body: dict[str, Any] = {"lora_name": "org/2", "source": {"uri": f"file://{clean_environment}/two"}}
            loads = await asyncio.gather(*(client.post("/v1/loras", json=body) for _ in range(4)))
            assert [load.status_code for load in loads] == [200] * 4
            assert (await client.get("/v1/loras")).json()["count"] == 2
            wrong = {
                "{": "not JSON",
                "{}": "missing required field `lora_name`",
                '{"lora_name": "x", "source": {}}': "source: ",
                json.dumps({**body, "lora_name": "three"}): "are taken: first, org/2",
            }
            for content, words in wrong.items():
                code, told = await message(await client.post("/v1/loras", content=content))
                assert code == 400 and words in told
            assert (await client.delete("/v1/loras/first")).json()["lora_name"] == "first"
            assert (await client.delete("/v1/loras/org%2F2")).status_code == 200
            assert await message(await client.delete("/v1/loras/first")) == (
                404,
                "there is no adapter 'first' here; loaded: none",
            )


async def test_a_worker_that_cannot_load_its_adapter_says_so(clean_environment: Path) -> None:
    with worker(clean_environment, *MOCK, "--adapter", "a=/no/such/place") as process:
        assert await ends(process, 10) == 2
        assert process.log.splitlines()[-1] == "dynamo: engine mock serves no adapters here"


async def test_a_request_that_waited_while_its_adapter_was_unloaded_goes_elsewhere(clean_environment: Path) -> None:
    (clean_environment / "one").mkdir()
    given = ("--max-loras", "1", "--adapter", f"first={clean_environment}/one", "--engine-request-limit", "1")

    def asked(model: str) -> EngineRequest:
        return EngineRequest(model, [1, 2, 3], stop=StopConditions(max_tokens=5000))

    with worker(clean_environment, *MOCK[:-1], "1", *given) as process:
        async with admin(process) as own, peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=10)
            running, waiting = client.random(asked("mine")), client.random(asked("first"))
            await anext(running)
            first = asyncio.ensure_future(anext(waiting))
            while "dynamo_request_queue 1" not in (await own.get("/metrics")).text:
                await asyncio.sleep(0.01)
            assert (await own.delete("/v1/loras/first")).status_code == 200
            await running.aclose()  # type: ignore[attr-defined]
            with pytest.raises(Draining, match="does not serve 'first' now"):
                await first
