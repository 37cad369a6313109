"""What every discovery promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dynamo_cli.runtime.discovery.base import Discovery, Watch, WatchEvent
from dynamo_cli.runtime.discovery.file import FileDiscovery
from dynamo_cli.runtime.discovery.memory import MemoryDiscovery, MemoryStore

Member = Callable[[], Discovery]


@pytest.fixture(params=["memory", "file"])
async def member(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Member]:
    """Makes members of one store."""
    members: list[Discovery] = []
    store = MemoryStore()

    def make() -> Discovery:
        members.append(MemoryDiscovery(store) if request.param == "memory" else FileDiscovery(tmp_path / "store"))
        return members[-1]

    yield make
    for one in members:
        await one.close()


async def events(watch: Watch, count: int) -> list[WatchEvent]:
    seen: list[WatchEvent] = []
    while len(seen) < count:
        seen += await asyncio.wait_for(watch.next(), 5)
    return seen


async def test_members_see_each_others_keys(member: Member) -> None:
    one, other = member(), member()
    await one.put("v1/instances/dynamo/backend/generate/1f", b"first")
    await one.put("v1/models/dynamo/backend/generate/1f", b"card")
    assert await other.get_prefix("v1/instances/") == {"v1/instances/dynamo/backend/generate/1f": b"first"}
    assert set(await other.get_prefix("v1/")) == {
        "v1/instances/dynamo/backend/generate/1f",
        "v1/models/dynamo/backend/generate/1f",
    }
    assert set(await other.get_prefix("")) == set(await other.get_prefix("v1/"))
    assert await other.get_prefix("v1/instances/other/") == {}
    assert await other.get_prefix("v2/instances/") == {}


async def test_put_replaces_and_delete_removes(member: Member) -> None:
    one, other = member(), member()
    await one.put("v1/a/key", b"old")
    await one.put("v1/a/key", b"new")
    assert await other.get_prefix("v1/a/") == {"v1/a/key": b"new"}
    await one.delete("v1/a/key")
    await one.delete("v1/a/key")
    assert await other.get_prefix("v1/a/") == {}


async def test_create_only_when_absent(member: Member) -> None:
    one, other = member(), member()
    assert await one.create("v1/a/key", b"first")
    assert not await other.create("v1/a/key", b"second")
    assert await other.get_prefix("v1/a/") == {"v1/a/key": b"first"}
    await one.delete("v1/a/key")
    assert await other.create("v1/a/key", b"second")


async def test_closing_deletes_only_own_keys(member: Member) -> None:
    one, other = member(), member()
    await one.put("v1/a/one", b"1")
    await other.put("v1/a/other", b"2")
    await one.close()
    assert await other.get_prefix("v1/a/") == {"v1/a/other": b"2"}


async def test_a_key_put_by_another_is_the_others(member: Member) -> None:
    one, other = member(), member()
    await one.put("v1/a/key", b"1")
    await other.put("v1/a/key", b"2")
    await one.close()
    assert await other.get_prefix("v1/a/") == {"v1/a/key": b"2"}


async def test_watch_tells_what_was_there_and_what_changes(member: Member) -> None:
    one, other = member(), member()
    await one.put("v1/a/there", b"0")
    async with other.watch_prefix("v1/a/") as watch:
        assert watch.initial == {"v1/a/there": b"0"}
        await one.put("v1/b/elsewhere", b"")
        await one.put("v1/a/key", b"1")
        assert await events(watch, 1) == [WatchEvent("put", "v1/a/key", b"1")]
        await one.put("v1/a/key", b"2")
        assert await events(watch, 1) == [WatchEvent("put", "v1/a/key", b"2")]
        await one.delete("v1/a/there")
        assert await events(watch, 1) == [WatchEvent("delete", "v1/a/there")]


async def test_watch_sees_the_same_value_put_again(member: Member) -> None:
    one, other = member(), member()
    async with other.watch_prefix("v1/a/") as watch:
        for _ in range(3):
            await one.put("v1/a/key", b"same")
            assert (await events(watch, 1))[-1] == WatchEvent("put", "v1/a/key", b"same")


async def test_watch_ends_with_the_last_value_of_many(member: Member) -> None:
    one, other = member(), member()
    async with other.watch_prefix("v1/a/") as watch:
        for number in range(50):
            await one.put("v1/a/key", b"%d" % number)
        seen = await events(watch, 1)
        while seen[-1].value != b"49":
            seen += await events(watch, 1)
        values = [int(event.value) for event in seen]
        assert values == sorted(set(values))


async def test_watch_sees_a_key_taken_over_in_order(member: Member) -> None:
    one, other = member(), member()
    await one.put("v1/a/key", b"old")
    async with other.watch_prefix("v1/a/") as watch:
        await one.close()
        assert await member().create("v1/a/key", b"new")
        seen = await events(watch, 1)
        while seen[-1].kind == "delete":
            seen += await events(watch, 1)
        assert seen[-1] == WatchEvent("put", "v1/a/key", b"new")
        assert len(seen) <= 2


async def test_watch_sees_a_member_leave(member: Member) -> None:
    one, other = member(), member()
    await one.put("v1/a/x", b"")
    await one.put("v1/a/y", b"")
    async with other.watch_prefix("v1/a/") as watch:
        await one.close()
        assert {event.key for event in await events(watch, 2) if event.kind == "delete"} == {"v1/a/x", "v1/a/y"}


async def test_keys_may_hold_any_printable_character(member: Member) -> None:
    keys = ["v1/a/.hidden", "v1/a/..", "v1/a/.tmp_x", "v1/a/sp ace/%2F/x", "v1/a/a=b;c~", "v1/a/UPPER"]
    one = member()
    for key in keys:
        await one.put(key, key.encode())
    assert await member().get_prefix("v1/a/") == {key: key.encode() for key in keys}


@pytest.mark.parametrize(
    "key", ["", "v1", "v1/a", "v1/a/", "../a/b", "v1/../b", "v1/a/\n", "v1/a/ü", "v1/a/" + "x" * 300]
)
async def test_odd_keys_are_refused(member: Member, key: str) -> None:
    with pytest.raises(ValueError, match="not a discovery key"):
        await member().put(key, b"")


async def test_large_values_arrive_whole(member: Member) -> None:
    value = bytes(range(256)) * 4000
    await member().put("v1/a/key", value)
    assert await member().get_prefix("v1/a/key") == {"v1/a/key": value}
