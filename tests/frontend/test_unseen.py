"""Workers that are ready beside a frontend and get no requests from it, by what their admin sockets say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dynamo_cli.frontend.app import FrontendOptions
from dynamo_cli.frontend.unseen import ELSEWHERE, REFUSED, UNREACHABLE, UNSEEN_S, Unseen
from dynamo_cli.protocol.instance import ModelIdentity
from dynamo_cli.runtime.admin import AdminServer
from dynamo_cli.runtime.config import RuntimeConfig
from tests.frontend.toy import MODEL, Deployment


class World:
    """A frontend and the admin sockets of workers beside it."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.frontend = deployment.frontend
        self.now = 0.0
        self.config: RuntimeConfig = self.frontend._runtime.config
        self.unseen = Unseen(
            self.frontend.registry, self.config, None, self.frontend.peers.sockets, clock=lambda: self.now
        )
        self.admins: list[AdminServer] = []

    async def says(self, name: str, status: Any = "ready", **facts: Any) -> AdminServer:
        """A worker of that name says so at its admin socket."""
        said = {"instance": "abc", "model": MODEL, "endpoint": "dynamo.backend.generate", "store": self.config.store}
        admin = AdminServer(self.config.paths.admin_socket(name))
        admin.set_health(status, **said | facts)
        await admin.start()
        self.admins.append(admin)
        return admin

    async def looks(self) -> dict[str, str]:
        """What is missed after two looks, by worker."""
        await self.unseen.look()
        assert self.unseen.workers == {}, "at first it may be on its way"
        self.now += UNSEEN_S
        await self.unseen.look()
        return {name: found.reason for name, found in self.unseen.workers.items()}


@pytest.fixture
async def world(bare: Deployment) -> AsyncIterator[World]:
    bare.frontend, bare.url = await bare.add_frontend(FrontendOptions(), service="frontend-0")
    world = World(bare)
    yield world
    for admin in world.admins:
        await admin.close()


async def test_another_namespace_is_named(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dynamo_cli.frontend.unseen")
    await world.says("decode-0", endpoint="other.backend.generate")
    assert await world.looks() == {"decode-0": ELSEWHERE}
    words = world.unseen.workers["decode-0"].words
    assert "in namespace other, this frontend looks in dynamo" in words and "--namespace" in words
    world.now += UNSEEN_S
    await world.unseen.look()
    assert caplog.text.count("registered in namespace other") == 1
    await world.admins[0].close()
    await world.unseen.look()
    assert not world.unseen.workers and "worker decode-0 of model org/toy is missed no more" in caplog.text


async def test_another_store_is_named(world: World) -> None:
    await world.says("pid-7", store="file /elsewhere")
    assert await world.looks() == {"pid-7": ELSEWHERE}
    words = world.unseen.workers["pid-7"].words
    assert f"file /elsewhere, this frontend looks in {world.config.store}" in words and "DYN_FILE_KV" in words


async def test_one_that_cannot_be_reached_is_registered(world: World) -> None:
    served = await world.deployment.add_worker(service="decode-0")
    await world.deployment.ready()
    await world.says("decode-0", instance=served.instance.hex_id)
    world.frontend.registry.models[MODEL].candidates.clear()
    assert await world.looks() == {"decode-0": UNREACHABLE}
    assert "DYN_TOKEN" in world.unseen.workers["decode-0"].words


async def test_one_that_is_refused_says_in_what_it_differs(world: World) -> None:
    await world.deployment.add_worker(service="decode-0")
    await world.deployment.ready()
    served = await world.deployment.add_worker(service="decode-1", identity=ModelIdentity("toy", kv_block_size=9))
    while not world.frontend.registry.refused:
        await asyncio.sleep(0.005)
    await world.says("decode-1", instance=served.instance.hex_id)
    assert await world.looks() == {"decode-1": REFUSED}
    assert "kv_block_size 9 != 0" in world.unseen.workers["decode-1"].words


async def test_who_is_well_not_ready_or_no_worker_is_not_missed(world: World) -> None:
    served = await world.deployment.add_worker(service="decode-0")
    await world.deployment.ready()
    await world.says("decode-0", instance=served.instance.hex_id, endpoint="not.asked.at-all")
    await world.says("decode-1", "loading")
    await world.says("decode-2", role="encode")
    bare = AdminServer(world.config.paths.admin_socket("service"))
    bare.set_health("ready")
    await bare.start()
    world.admins.append(bare)
    Path(world.config.paths.runtime_dir / "dead.sock").touch()
    await world.deployment.add_frontend(service="frontend-1")
    while not world.frontend.peers.others:
        await asyncio.sleep(0.005)
    assert await world.looks() == {}


async def test_a_frontend_of_one_model_misses_no_others(world: World) -> None:
    world.unseen._only = "another"
    await world.says("decode-0")
    assert await world.looks() == {}
