"""All frontends come to agree, whoever was asked, and those that start later know it too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.protocol.load import THRESHOLDS_PREFIX, BusyThresholds, ThresholdChange
from dynamo_cli.routing.thresholds import SharedThresholds, Thresholds
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.runtime import DistributedRuntime
from tests.routing.test_registry import until

CONFIGURED = BusyThresholds(active_decode_blocks_threshold=0.9)


def tokens(most: int | None, model: str = "m") -> ThresholdChange:
    return ThresholdChange(model=model, active_prefill_tokens_threshold=most)


class World:
    def __init__(self, home: Path) -> None:
        environ = {"DYN_DISCOVERY_BACKEND": "mem", "DYN_TOKEN": "t", "DYNAMO_HOME": str(home)}
        self.config = RuntimeConfig.from_args(None, environ)
        self.all: list[SharedThresholds] = []
        self.runtimes: list[DistributedRuntime] = []

    async def frontend(self, configured: BusyThresholds = CONFIGURED) -> SharedThresholds:
        self.runtimes.append(await DistributedRuntime.create(self.config))
        self.all.append(SharedThresholds(self.runtimes[-1], Thresholds(configured)))
        await self.all[-1].start()
        return self.all[-1]

    async def keys(self) -> int:
        return len(await self.runtimes[0].discovery.get_prefix(THRESHOLDS_PREFIX))

    async def close(self) -> None:
        for shared in self.all:
            await shared.close()
        for runtime in self.runtimes:
            await runtime.close()


@pytest.fixture
async def world(clean_environment: Path) -> AsyncIterator[World]:
    world = World(clean_environment)
    yield world
    await world.close()


async def test_a_change_reaches_those_that_are_there_and_those_that_come(world: World) -> None:
    first, second = await world.frontend(), await world.frontend()
    assert first.thresholds.of("m") == CONFIGURED
    changed = second.change(tokens(5))
    assert changed == BusyThresholds(active_decode_blocks_threshold=0.9, active_prefill_tokens_threshold=5)
    await until(lambda: first.thresholds.of("m") == changed)
    await second.close()
    third = await world.frontend(BusyThresholds())
    assert third.thresholds.of("m") == changed
    assert third.thresholds.of("other") == BusyThresholds()


async def test_what_is_unset_is_unset_everywhere(world: World) -> None:
    first, second = await world.frontend(), await world.frontend()
    first.change(ThresholdChange(model="m", active_decode_blocks_threshold=None))
    await until(lambda: not second.thresholds.judge("m"))
    second.change(ThresholdChange(model="m", active_decode_blocks_threshold=0.5))
    await until(lambda: first.thresholds.of("m").active_decode_blocks_threshold == 0.5)


async def test_two_at_once_agree_and_nothing_is_left_behind(world: World) -> None:
    first, second = await world.frontend(), await world.frontend()
    first.change(tokens(1))
    second.change(tokens(2))
    await until(lambda: first.thresholds.of("m") == second.thresholds.of("m"))
    assert first.thresholds.of("m").active_prefill_tokens_threshold in (1, 2)
    await until(lambda: first.thresholds.changed == second.thresholds.changed)
    await first.close()
    await second.close()
    assert await world.keys() == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=4))
def test_in_whatever_order_news_arrive_the_same_remains(changes: list[tuple[int, int]]) -> None:
    frontends = [Thresholds() for _ in range(3)]
    told = [frontends[who].change(tokens(most), who) for who, most in changes]
    results = set()
    for order in permutations(told):
        late = Thresholds()
        for known in order:
            late.take(known)
        results.add(late.of("m").active_prefill_tokens_threshold)
    assert len(results) == 1


def test_old_news_change_nothing_and_are_not_told_on() -> None:
    heard: list[str] = []
    thresholds = Thresholds()
    thresholds.on_change = heard.append
    old = Thresholds().change(tokens(1), 1)
    thresholds.change(tokens(2), 2)
    assert not thresholds.take(old)
    assert thresholds.of("m").active_prefill_tokens_threshold == 2
    assert heard == ["m"]
