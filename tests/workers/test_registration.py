from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from dynamo_cli.errors import EngineFailed, InvalidRequest, ModelMissing, ResourceMissing
from dynamo_cli.workers.adapters import Adapters
from dynamo_cli.workers.engine import EngineInfo
from dynamo_cli.workers.resting import Resting
from tests.workers.served import CARD, ObedientEngine, World


async def test_a_worker_is_in_rotation_when_no_reason_is_left() -> None:
    world = World()
    registration, served = world.registration, world.served
    await registration.begin(CARD)
    assert served.registered and [*world.discovery.keys] == ["v1/models/dynamo/backend/generate/7"]
    await registration.leave("canary", "it hangs")
    await registration.leave("sleep", "it sleeps")
    assert not served.registered and registration.why_out == "it hangs; it sleeps" and registration.resting
    assert world.discovery.keys
    await registration.come_back("sleep")
    assert not served.registered and not registration.resting
    await registration.come_back("canary")
    await registration.come_back("canary")
    assert served.registered
    await registration.end()
    await registration.come_back("canary")
    await registration.add(msgspec.structs.replace(CARD, name="late"))
    assert not served.registered and not world.discovery.keys


async def test_sleep_waits_for_what_runs_and_wakes_into_rotation() -> None:
    world, engine = World(), ObedientEngine()
    await world.registration.begin(CARD)
    world.served.inflight = 1
    resting = Resting(engine, world.registration, world.served, 30.0)  # type: ignore[arg-type]
    sleeping = asyncio.ensure_future(resting.control("sleep", {"level": 2}))
    while world.served.registered:
        await asyncio.sleep(0)
    assert not engine.controls
    world.served.inflight = 0
    assert await sleeping == {"level": 2}
    assert engine.controls == [("sleep", {"level": 2})] and world.registration.why_out == "the engine sleeps"
    await resting.control("clear_kv_blocks", {})
    assert not world.served.registered
    await resting.control("wake_up", {})
    assert world.served.registered


async def test_an_engine_that_wakes_in_parts_takes_requests_after_the_last_one() -> None:
    world, engine = World(), ObedientEngine()
    await world.registration.begin(CARD)
    resting = Resting(engine, world.registration, world.served, 1.0)  # type: ignore[arg-type]
    await resting.control("sleep", {})
    assert (await resting.control("wake_up", {"awake": False}))["awake"] is False
    assert world.registration.why_out == "the engine sleeps"
    await resting.control("wake_up", {"awake": True})
    assert world.served.registered


async def test_who_cannot_tell_that_it_is_awake_may_try_again() -> None:
    world, engine = World(), ObedientEngine()
    await world.registration.begin(CARD)
    resting = Resting(engine, world.registration, world.served, 1.0)  # type: ignore[arg-type]
    await resting.control("sleep", {})
    world.served.unwritable = True
    with pytest.raises(ResourceMissing):
        await resting.control("wake_up", {})
    assert world.registration.why_out == "the engine sleeps"
    world.served.unwritable = False
    await resting.control("wake_up", {})
    assert world.served.registered and not world.registration.why_out


async def test_an_engine_that_does_not_fall_asleep_serves_on() -> None:
    world, engine = World(), ObedientEngine()
    await world.registration.begin(CARD)
    engine.state = "broken"
    with pytest.raises(EngineFailed, match="cannot pause"):
        await Resting(engine, world.registration, world.served, 1.0).control("pause", {})  # type: ignore[arg-type]
    assert world.served.registered


async def test_an_adapter_is_a_model_of_its_own(tmp_path: Path) -> None:
    world, engine = World(), ObedientEngine()
    await world.registration.begin(CARD)
    adapters = Adapters(engine, "toy", EngineInfo(max_adapters=2), CARD, world.registration)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text(name)
    await adapters.load("org/a", f"file://{tmp_path}/a")
    await adapters.load("org/a", str(tmp_path / "a"))
    await adapters.load("b", str(tmp_path / "b"))
    cards = world.discovery.cards()
    assert set(world.discovery.keys) == {f"v1/models/dynamo/backend/generate/7{end}" for end in ("", "/org/a", "/b")}
    assert cards["org/a"].identity.base == cards["b"].identity.base == "base"
    assert len({card.identity.adapter for card in cards.values()}) == 3
    assert cards["b"].identity.kv_block_size == 16
    assert [adapter.path for adapter in adapters] == [str(tmp_path / "a"), str(tmp_path / "b")]
    wrong = {
        ("c", str(tmp_path / "a")): "2 adapters that engine toy serves at once are taken: org/a, b",
        ("b", str(tmp_path / "a")): "unload it first",
        ("base", str(tmp_path / "a")): "name of the model itself",
        ("a b", str(tmp_path / "a")): "cannot be a model's name",
        ("c", str(tmp_path / "none")): "is no directory",
        ("c", "s3://bucket/c"): "not on this disk",
        ("c", "file://elsewhere/c"): "not on this disk",
    }
    for (name, source), words in wrong.items():
        with pytest.raises(InvalidRequest, match=words):
            await adapters.load(name, source)
    await adapters.unload("org/a")
    assert set(engine.adapters) == {"b"} and set(world.discovery.cards()) == {"base", "b"}
    with pytest.raises(ModelMissing, match="no adapter 'org/a' here; loaded: b"):
        await adapters.unload("org/a")


async def test_an_engine_without_adapters_says_so(tmp_path: Path) -> None:
    world = World()
    with pytest.raises(InvalidRequest, match="engine toy serves no adapters here"):
        await Adapters(ObedientEngine(), "toy", EngineInfo(), CARD, world.registration).load("a", str(tmp_path))
