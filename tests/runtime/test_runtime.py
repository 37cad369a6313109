"""Processes of a deployment that serve endpoints and find each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dynamo_cli.errors import Disconnected, NoInstances, StreamIncomplete, UsageError
from dynamo_cli.protocol.kv import KvEvent, Stored
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.discovery.memory import process_store
from dynamo_cli.runtime.endpoint import ServedEndpoint
from dynamo_cli.runtime.events.memory import process_hub
from dynamo_cli.runtime.runtime import DistributedRuntime
from tests.runtime.events.copies import Copy
from tests.runtime.requests.test_contract import Sink
from tests.runtime.waiting import until

NAME = "dynamo.backend.generate"
Join = Callable[[], Awaitable[DistributedRuntime]]


@pytest.fixture(params=["file", "mem"])
async def join(request: pytest.FixtureRequest, clean_environment: Path) -> AsyncIterator[Join]:
    """Makes members of one deployment."""
    process_store.cache_clear()
    config = RuntimeConfig.from_args(
        environ={"DYNAMO_HOME": str(clean_environment), "DYN_DISCOVERY_BACKEND": request.param, "DYNAMO_SERVICE": "w-0"}
    )
    members: list[DistributedRuntime] = []

    async def make() -> DistributedRuntime:
        members.append(await DistributedRuntime.create(config))
        return members[-1]

    yield make
    for member in members:
        await member.close()


async def serve(runtime: DistributedRuntime, **options: Any) -> ServedEndpoint:
    """An endpoint that answers with the id of its instance, as often as asked."""

    async def handler(request: int, context: Context) -> AsyncIterator[int]:
        for _ in range(request):
            yield runtime.instance_id
        if not request:
            yield runtime.instance_id
            await context.wait_stopped()

    return await runtime.endpoint(NAME).serve(handler, request_type=int, **options)


async def answers(stream: AsyncIterator[Any]) -> list[Any]:
    return [answer async for answer in stream]


async def test_a_worker_is_found_whoever_comes_first(join: Join) -> None:
    early = await (await join()).endpoint(NAME).client()
    with pytest.raises(NoInstances):
        await early.wait_for_instances(timeout_s=0.01)
    worker = await join()
    served = await serve(worker)
    late = await (await join()).endpoint(NAME).client()
    for client in (early, late):
        [instance] = await client.wait_for_instances(timeout_s=5)
        assert instance == served.instance
        assert instance.service == "w-0" and instance.instance_id == worker.instance_id
        assert await answers(client.random(3)) == [worker.instance_id] * 3
        await client.close()


async def test_modes(join: Join) -> None:
    workers = [await join() for _ in range(3)]
    for worker in workers:
        await serve(worker)
    client = await (await join()).endpoint(NAME).client()
    await client.wait_for_instances(3, timeout_s=5)
    ids = {worker.instance_id for worker in workers}
    assert set(client.instance_ids()) == ids
    turn = [(await answers(client.round_robin(1)))[0] for _ in range(6)]
    assert set(turn[:3]) == ids and turn[:3] == turn[3:]
    assert {(await answers(client.random(1)))[0] for _ in range(40)} == ids
    for wanted in ids:
        assert await answers(client.direct(1, wanted)) == [wanted]
    with pytest.raises(NoInstances):
        await answers(client.direct(1, 5))
    with pytest.raises(NoInstances):
        client.send(1, 5, Sink())
    await client.close()


async def test_nobody_serves(join: Join) -> None:
    client = await (await join()).endpoint(NAME).client()
    for mode in (client.random, client.round_robin):
        with pytest.raises(NoInstances, match=NAME):
            await answers(mode(1))
    await client.close()


async def test_unregistered_workers_leave_the_rotation_and_go_on(join: Join) -> None:
    worker = await join()
    served = await serve(worker, register=False)
    client = await (await join()).endpoint(NAME).client()
    changes: list[int] = []
    client.on_change(lambda: changes.append(len(client.instances())))
    assert client.instances() == []
    await served.register()
    await client.wait_for_instances(timeout_s=5)
    sink = Sink()
    stream = client.send(0, worker.instance_id, sink)
    await until(lambda: sink.frames)
    assert served.inflight == 1
    await served.unregister()
    await until(lambda: not client.instances())
    assert not sink.over
    stream.cancel()
    await until(lambda: served.inflight == 0)
    await served.register()
    await client.wait_for_instances(timeout_s=5)
    assert changes == [1, 0, 1]
    await client.close()


async def test_a_draining_worker_is_chosen_no_more_and_finishes(join: Join) -> None:
    worker = await join()
    served = await serve(worker)
    client = await (await join()).endpoint(NAME).client()
    await client.wait_for_instances(timeout_s=5)
    sink = Sink()
    client.send(0, worker.instance_id, sink)
    await until(lambda: sink.frames)
    await served.drain(0.1)
    await until(lambda: sink.over and not client.instances())
    assert isinstance(sink.error, StreamIncomplete)
    await client.close()


async def test_a_worker_reported_down_comes_back_when_it_answers(join: Join) -> None:
    worker = await join()
    await serve(worker)
    client = await (await join()).endpoint(NAME).client()
    await client.wait_for_instances(timeout_s=5)
    client.report_down(worker.instance_id)
    client.report_down(worker.instance_id)
    assert client.instances() == []
    await client.wait_for_instances(timeout_s=5)
    assert await answers(client.random(1)) == [worker.instance_id]
    await client.close()


async def test_a_worker_that_cannot_be_reached_is_left_out_until_it_registers_anew(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await join()
    served = await serve(worker)
    caller = await join()
    client = await caller.endpoint(NAME).client()
    await client.wait_for_instances(timeout_s=5)

    async def never(address: str) -> bool:
        return False

    monkeypatch.setattr(caller.requests, "probe", never)
    sink = Sink()
    client.send(0, worker.instance_id, sink)
    await until(lambda: sink.frames)
    for link in list(worker.server.links):  # type: ignore[union-attr]
        link.close("test")
    await until(lambda: sink.over)
    assert isinstance(sink.error, StreamIncomplete | Disconnected)
    assert client.instances() == []
    await asyncio.sleep(0.5)
    assert client.instances() == []
    await served.register()
    await client.wait_for_instances(timeout_s=5)
    await client.close()


async def test_closing_a_worker_removes_it(join: Join) -> None:
    worker = await join()
    await serve(worker)
    client = await (await join()).endpoint(NAME).client()
    await client.wait_for_instances(timeout_s=5)
    await worker.close()
    await until(lambda: not client.instances())
    await client.close()


async def test_instances_that_cannot_be_understood_are_passed_over(
    join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = await join()
    await runtime.discovery.put("v1/instances/dynamo/backend/generate/1", b"\xc1")
    client = await runtime.endpoint(NAME).client()
    assert client.instances() == []
    assert "does not hold an instance" in caplog.text
    await client.close()


async def test_events_find_their_subscribers(join: Join) -> None:
    copy = Copy()
    await (await join()).events.subscribe("dynamo", "backend", "kv", copy, KvEvent)
    worker = await join()
    publisher = await worker.events.publisher("dynamo", "backend", {"kv": lambda: [Stored([1])]})
    await until(lambda: copy.held == {worker.instance_id: {1}})
    publisher.publish("kv", Stored([2]))
    await until(lambda: copy.held == {worker.instance_id: {1, 2}})
    await worker.close()
    await until(lambda: copy.gone == [worker.instance_id])


async def test_events_inside_one_process(clean_environment: Path) -> None:
    process_hub.cache_clear()
    config = RuntimeConfig.from_args(environ={"DYNAMO_HOME": str(clean_environment), "DYN_EVENT_PLANE": "mem"})
    copy = Copy()
    async with await DistributedRuntime.create(config) as reader, await DistributedRuntime.create(config) as worker:
        await reader.events.subscribe("dynamo", "backend", "kv", copy, KvEvent)
        await worker.events.publisher("dynamo", "backend", {"kv": lambda: [Stored([1])]})
        await until(lambda: copy.held == {worker.instance_id: {1}})


async def test_names(join: Join) -> None:
    runtime = await join()
    assert str(runtime.namespace().component("backend").endpoint("generate").id) == NAME
    assert str(runtime.endpoint("dyn://a.b-1.c_2").id) == "a.b-1.c_2"
    for wrong in ("", "a.b", "a.b.c.d", "A.b.c", "a..c", "a/b.c.d"):
        with pytest.raises(UsageError):
            runtime.endpoint(wrong)
