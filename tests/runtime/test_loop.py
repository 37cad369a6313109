from __future__ import annotations

import asyncio
import gc

import pytest

from dynamo_cli.runtime import loop


def test_runs_to_the_result() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert loop.run(answer()) == 42


def test_an_interrupt_before_the_loop_begins_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    async def never() -> None: ...

    monkeypatch.setattr(loop, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.run(never())
    gc.collect()  # a coroutine that was never awaited would warn here
