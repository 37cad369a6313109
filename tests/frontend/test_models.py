"""The text side of a model is loaded once, however many workers come while it is."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from dynamo_cli.errors import NotReady
from dynamo_cli.frontend.models import Models
from dynamo_cli.protocol.instance import EndpointId, Instance, ModelCard, ModelIdentity
from dynamo_cli.routing.migration import MigrationOptions
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.text import bundle
from dynamo_cli.text.bundle import TextBundle
from tests.frontend.toy import MODEL, Deployment
from tests.runtime.waiting import until


class SlowDisk:
    """Nothing is loaded before `let` is set."""

    def __init__(self) -> None:
        self.begun = 0
        self.let = threading.Event()

    def load(self, path: Path) -> None:
        self.begun += 1
        assert self.let.wait(10)


def worker_came(models: Models, routed: RoutedModel, number: int, identity: ModelIdentity) -> None:
    place = EndpointId("dynamo", "backend", "generate")
    routed.cards = {**routed.cards, number: ModelCard("m", identity, Instance(place, number, ""))}
    routed.identity = identity
    models.changed(routed)


async def test_workers_that_come_while_it_is_loaded_begin_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk()
    monkeypatch.setattr(bundle, "load_bundle", disk.load)
    models, routed = Models("round-robin", MigrationOptions()), RoutedModel("m")
    for number in range(4):
        worker_came(models, routed, number, ModelIdentity(text_digest="a"))
        await until(lambda: disk.begun > 0)
    disk.let.set()
    await until(lambda: "m" in models)
    assert disk.begun == 1
    await models.close()


async def test_another_identity_is_loaded_in_place_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk()
    monkeypatch.setattr(bundle, "load_bundle", disk.load)
    models, routed = Models("round-robin", MigrationOptions()), RoutedModel("m")
    worker_came(models, routed, 1, ModelIdentity(text_digest="a"))
    await until(lambda: disk.begun == 1)
    worker_came(models, routed, 1, ModelIdentity(text_digest="b"))
    await until(lambda: disk.begun == 2)
    disk.let.set()
    await until(lambda: "m" in models)
    assert models.get("m").identity == ModelIdentity(text_digest="b")
    await models.close()


async def test_a_frontend_that_comes_beside_others_takes_nothing_before_it_can_answer(
    bare: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, load = SlowDisk(), bundle.load_bundle

    def load_slowly(path: Path) -> TextBundle:
        disk.load(path)
        return load(path)

    monkeypatch.setattr(bundle, "load_bundle", load_slowly)
    await bare.add_worker()
    coming = asyncio.create_task(bare.start())
    await until(lambda: disk.begun == 1)
    await asyncio.sleep(0)
    assert not coming.done()
    disk.let.set()
    await coming
    assert bare.frontend.models.get(MODEL)


async def test_what_cannot_be_loaded_in_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk()
    monkeypatch.setattr(bundle, "load_bundle", disk.load)
    models, routed = Models("round-robin", MigrationOptions()), RoutedModel("m")
    worker_came(models, routed, 1, ModelIdentity(text_digest="a"))
    await models.loaded(0.01)
    with pytest.raises(NotReady, match="being loaded"):
        models.get("m")
    disk.let.set()
    await models.loaded(10.0)
    assert models.get("m")
    await models.close()
