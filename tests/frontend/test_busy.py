"""A request is refused while all workers that could take it are busy, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from dynamo_cli.errors import EngineFailed, Overloaded, UsageError
from dynamo_cli.frontend.app import FrontendOptions
from dynamo_cli.frontend.busy_threshold import add_arguments, busy_thresholds
from dynamo_cli.frontend.gate import Gate
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.instance import ModelIdentity
from dynamo_cli.protocol.load import BusyThresholds, WorkerLoad
from dynamo_cli.runtime.arguments import ComponentParser
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.http.keys import load_keys
from dynamo_cli.runtime.http.limits import Limits
from tests.frontend.held import Held
from tests.frontend.metrics.test_endpoint import samples
from tests.frontend.toy import MODEL, Deployment
from tests.runtime.waiting import until

TEN_TOKENS = BusyThresholds(active_prefill_tokens_threshold=9)
UNSET = {
    "model": MODEL,
    "active_decode_blocks_threshold": None,
    "active_prefill_tokens_threshold": None,
    "active_prefill_tokens_threshold_frac": None,
}


def prompt_of(tokens: int, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "prompt": "x" * tokens, "max_tokens": 2, **fields}


@asynccontextmanager
async def serving(
    bare: Deployment, worker: Any, thresholds: BusyThresholds = TEN_TOKENS, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    await bare.start(FrontendOptions(thresholds=thresholds, **options))
    await bare.add_worker(worker, total_kv_blocks=10, identity=ModelIdentity("toy", kv_block_size=4))
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        yield http


async def send(http: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await http.post("/v1/completions", json=prompt_of(10, **fields))


@pytest.mark.parametrize("stream", [False, True])
async def test_the_second_waits_for_the_first_ones_first_token(bare: Deployment, stream: bool) -> None:
    held = Held()
    async with serving(bare, held) as http:
        first = asyncio.create_task(send(http))
        await until(lambda: held.waiting)
        refused = await send(http, stream=stream)
        assert (refused.status_code, refused.headers["retry-after"]) == (529, "1")
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("overloaded", "overloaded")
        held.go.set()
        assert (await first).status_code == 200
        assert (await send(http, stream=stream)).status_code == 200
        counts = samples((await http.get("/metrics")).text)
    rejected = frozenset({("model", MODEL), ("endpoint", "completions")})
    assert counts["model_rejection_total", rejected] == 1


async def test_what_the_worker_says_counts_too(bare: Deployment) -> None:
    load = [WorkerLoad(6, 10, 0)]
    await bare.start(FrontendOptions(thresholds=BusyThresholds(active_decode_blocks_threshold=0.5)))
    served = await bare.add_worker(total_kv_blocks=10, identity=ModelIdentity("toy", kv_block_size=4))
    served.report(lambda: msgspec.msgpack.encode(load[0]))
    await bare.ready()
    (model,) = bare.frontend.models
    await until(lambda: model.routed.loads.known())
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        assert (await send(http)).status_code == 529
        counts = samples((await http.get("/metrics")).text)
        labels = {("model", MODEL), ("worker_id", served.instance.hex_id), ("dp_rank", "0"), ("worker_type", "decode")}
        assert counts["worker_active_decode_blocks", frozenset(labels)] == 6
        load[0] = WorkerLoad(5, 10, 0)
        await until(lambda: model.routed.loads.known()[served.instance.instance_id].active_decode_blocks == 5)
        assert (await send(http)).status_code == 200


async def test_a_busy_worker_is_avoided_while_there_is_another(bare: Deployment) -> None:
    held, other = Held(), Held()
    other.go.set()
    async with serving(bare, held) as http:
        first = asyncio.create_task(send(http))
        await until(lambda: held.waiting)
        served = await bare.add_worker(other, identity=ModelIdentity("toy", kv_block_size=4))
        await bare.ready(2)
        assert [(await send(http)).status_code for _ in range(6)] == [200] * 6
        (model,) = bare.frontend.models
        busy = next(one for one in model.routed.candidates if one != served.instance.instance_id)
        pinned = await send(http, nvext={"backend_instance_id": f"{busy:x}"})
        assert pinned.status_code == 529
        held.go.set()
        assert (await first).status_code == 200


async def test_an_idle_deployment_takes_any_request_whole(bare: Deployment) -> None:
    held = Held()
    held.go.set()
    async with serving(bare, held) as http:
        assert (await send(http, n=8)).status_code == 200
        assert (await http.post("/v1/completions", json=prompt_of(500))).status_code == 200


async def test_the_supervisors_probe_is_answered_by_busy_workers(bare: Deployment) -> None:
    held = Held()
    await bare.start(FrontendOptions(thresholds=TEN_TOKENS), admin=True)
    await bare.add_worker(held)
    await bare.ready()
    transport = httpx.AsyncHTTPTransport(uds=str(bare.admin_sockets[0]))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as http:
        first = asyncio.create_task(send(http))
        await until(lambda: held.waiting)
        assert (await send(http)).status_code == 529
        probe = http.post("/v1/completions", json=prompt_of(1), headers={"x-dynamo-probe": "1"})
        task = asyncio.create_task(probe)
        await until(lambda: held.waiting == 2)
        held.go.set()
        assert [one.status_code for one in await asyncio.gather(first, task)] == [200, 200]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_stops_the_engine_and_makes_room(bare: Deployment, stream: bool) -> None:
    held = Held()
    async with serving(bare, held) as http:
        task = asyncio.create_task(send(http, stream=stream))
        await until(lambda: held.waiting)
        assert (await send(http)).status_code == 529
        task.cancel()
        await until(lambda: held.stopped, timeout_s=0.5)
        held.go.set()
        assert (await send(http)).status_code == 200


async def test_no_worker_is_not_overload(bare: Deployment) -> None:
    async with serving(bare, Held()) as http:
        (model,) = bare.frontend.models
        model.routed.candidates = []
        assert (await send(http)).status_code == 503


async def test_the_status_can_be_another_one(bare: Deployment) -> None:
    held = Held()
    async with serving(bare, held, limits=Limits(overload_status=503)) as http:
        first = asyncio.create_task(send(http))
        await until(lambda: held.waiting)
        refused = await send(http)
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "overloaded")
        held.go.set()
        await first


@pytest.mark.parametrize("value", ["200", "99", "1000", "many", "529.5"])
def test_a_status_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="DYN_HTTP_OVERLOAD_STATUS_CODE"):
        Limits.from_environment({"DYN_HTTP_OVERLOAD_STATUS_CODE": value})


@pytest.mark.parametrize("stream", [False, True])
async def test_workers_that_all_refuse_are_overload(bare: Deployment, stream: bool) -> None:
    async def full(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        raise Overloaded("full")
        yield Delta()

    async with serving(bare, full, BusyThresholds()) as http:
        refused = await send(http, stream=stream)
        assert (refused.status_code, refused.headers["retry-after"]) == (529, "1")
        other = Held()
        other.go.set()
        await bare.add_worker(other, identity=ModelIdentity("toy", kv_block_size=4))
        await bare.ready(2)
        assert [(await send(http, stream=stream)).status_code for _ in range(4)] == [200] * 4


async def test_an_error_before_the_first_token_has_its_status_and_one_after_it_ends_the_stream(
    bare: Deployment,
) -> None:
    async def broken(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        if request.stop.max_tokens == 3:
            yield Delta(request.token_ids[:1])
        raise EngineFailed("no more")

    async with serving(bare, broken) as http:
        early = await send(http, stream=True)
        assert (early.status_code, early.json()["error"]["code"]) == (500, "engine_failed")
        late = await http.post("/v1/completions", json=prompt_of(10, stream=True) | {"max_tokens": 3})
        first, error, done, end = late.text.split("\n\n")
        assert late.status_code == 200
        assert '"text":"x"' in first
        assert '"code":"engine_failed"' in error
        assert (done, end) == ("data: [DONE]", "")


async def test_thresholds_change_while_it_runs(bare: Deployment) -> None:
    held = Held()
    async with serving(bare, held, BusyThresholds()) as http:
        listed = (await http.get("/busy_threshold")).json()
        assert listed == {"thresholds": [UNSET]}
        first = asyncio.create_task(send(http))
        await until(lambda: held.waiting)
        changed = await http.post("/busy_threshold", json={"model": MODEL, "active_prefill_tokens_threshold": 9})
        assert changed.json() == UNSET | {"active_prefill_tokens_threshold": 9}
        assert (await send(http)).status_code == 529
        asked = await http.post("/busy_threshold", json={"model": MODEL})
        assert asked.json() == changed.json()
        unset = await http.post("/busy_threshold", json={"model": MODEL, "active_prefill_tokens_threshold": None})
        assert unset.json() == UNSET
        held.go.set()
        assert (await send(http)).status_code == 200
        assert (await first).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "model"),
        ({"model": "none"}, 404, None),
        ({"model": MODEL, "active_decode_blocks_threshold": 1.5}, 400, "active_decode_blocks_threshold"),
        ({"model": MODEL, "active_decode_blocks_threshold": "0.5"}, 400, "active_decode_blocks_threshold"),
        ({"model": MODEL, "active_prefill_tokens_threshold": -1}, 400, "active_prefill_tokens_threshold"),
        ({"model": MODEL, "active_prefill_tokens_threshold": 1.5}, 400, "active_prefill_tokens_threshold"),
        ({"model": MODEL, "active_prefill_tokens_threshold_frac": -0.1}, 400, "active_prefill_tokens_threshold_frac"),
        ({"model": MODEL, "busy_threshold": 0.5}, 400, "busy_threshold"),
    ],
)
async def test_a_wrong_change_is_named(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, param: str | None
) -> None:
    answer = await http.post("/busy_threshold", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert (await http.get("/busy_threshold")).json() == {"thresholds": [UNSET]}


async def test_it_needs_a_key_and_can_be_off(bare: Deployment) -> None:
    async with serving(bare, Held(), gate=Gate(load_keys("key", None))) as http:
        assert (await http.get("/busy_threshold")).status_code == 401
        assert (await http.post("/busy_threshold", json=UNSET)).status_code == 401
        assert (await http.post("/busy_threshold", json=UNSET, headers={"authorization": "Bearer key"})).is_success


async def test_the_admin_api_can_be_off(bare: Deployment) -> None:
    async with serving(bare, Held(), admin_api=False) as http:
        assert (await http.get("/busy_threshold")).status_code == 404
        assert (await http.post("/busy_threshold", json=UNSET)).status_code == 404


def options(*arguments: str, **environ: str) -> BusyThresholds:
    parser = ComponentParser("test", "")
    add_arguments(parser)
    return busy_thresholds(parser.parse_args(arguments), environ)


def test_options_count_before_the_environment() -> None:
    assert options() == BusyThresholds()
    assert options(DYN_ACTIVE_PREFILL_TOKENS_THRESHOLD="None") == BusyThresholds()
    given = options("--active-decode-blocks-threshold", "0.5", DYN_ACTIVE_DECODE_BLOCKS_THRESHOLD="0.7")
    assert given == BusyThresholds(active_decode_blocks_threshold=0.5)
    environ = {"DYN_ACTIVE_PREFILL_TOKENS_THRESHOLD": "5", "DYN_ACTIVE_PREFILL_TOKENS_THRESHOLD_FRAC": "1.5"}
    assert options(**environ) == BusyThresholds(
        active_prefill_tokens_threshold=5, active_prefill_tokens_threshold_frac=1.5
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("active_decode_blocks_threshold", "1.1"),
        ("active_decode_blocks_threshold", "nan"),
        ("active_prefill_tokens_threshold", "0.5"),
        ("active_prefill_tokens_threshold", "-1"),
        ("active_prefill_tokens_threshold_frac", "inf"),
    ],
)
def test_a_wrong_option_is_named(name: str, value: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    with pytest.raises(UsageError, match=f"^{flag} '{value}'"):
        options(f"{flag}={value}")
    with pytest.raises(UsageError, match=f"^DYN_{name.upper()} '{value}'"):
        options(**{f"DYN_{name.upper()}": value})
