"""What is done around an engine that starts processes of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dynamo_cli.errors import EngineFailed, UsageError
from dynamo_cli.workers import guard, loading
from dynamo_cli.workers.arguments import parse_arguments
from dynamo_cli.workers.engine import Engine, EngineInfo
from dynamo_cli.workers.engines.base import EngineLaunch, EngineSpec
from dynamo_cli.workers.engines.registry import SPECS
from dynamo_cli.workers.loading import Loader
from tests.workers.served import ObedientEngine


class ManyProcesses(EngineSpec):
    """`seen`: what was so when its adapter was to be imported."""

    name = "many"
    summary = "of the tests"
    needs_model = False
    has_children = True
    logits_processors = True
    headless = True
    disaggregation = "prefill_first"
    seen: dict[str, object]

    def available(self) -> str | None:
        return None

    def create(self, launch: EngineLaunch) -> Engine:
        self.seen = {"launch": launch, "guarded": guarded}
        return ObedientEngine()


guarded = 0


@pytest.mark.parametrize("words", [[], ["--headless"]])
async def test_the_engine_finds_what_it_needs_before_it_is_imported(
    words: list[str], clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    global guarded

    def count() -> None:
        global guarded
        guarded += 1

    guarded = 0
    monkeypatch.setattr(loading, "guard_children", count)
    monkeypatch.setitem(SPECS, "many", ManyProcesses())
    arguments = parse_arguments(
        ["--engine", "many", "--logits-processor", "a.b:C", "--is-decode-worker", *words, "--", "--native"], os.environ
    )
    arguments.runtime.paths.ensure()
    told: list[str] = []
    loader = Loader(arguments, os.environ, lambda model, engine, what, phase: told.append(what))
    loaded = await loader.load()
    seen = SPECS["many"].seen  # type: ignore[attr-defined]
    assert seen["guarded"] == 1
    launch = seen["launch"]
    assert (launch.role, launch.headless, launch.logits_processors) == ("decode", bool(words), ("a.b:C",))
    assert launch.args == ("--native",)
    assert ("generating a first token" in told) != launch.headless
    assert len(loaded.engine.asked) == (not words)  # type: ignore[attr-defined]
    await loader.close()
    assert guard._Guard.pipe is None


@pytest.mark.parametrize("role", ["prefill", "decode"])
async def test_an_engine_that_hands_nothing_over_has_no_half(role: str, clean_environment: Path) -> None:
    arguments = parse_arguments(["--engine", "echo", "--disaggregation-mode", role], os.environ)
    loader = Loader(arguments, os.environ, lambda model, engine, what, phase: None)
    with pytest.raises(UsageError, match="engine echo cannot hand over"):
        await loader.load()


@pytest.mark.parametrize(
    ("info", "line"),
    [
        (None, "start of engine many returned NoneType, not an EngineInfo"),
        (EngineInfo(total_kv_blocks=-1), r"the EngineInfo of engine many is wrong: .* >= 0 - at `\$.total_kv_blocks`"),
        (EngineInfo(input="words"), r"the EngineInfo of engine many is wrong: .* - at `\$.input`"),  # type: ignore[arg-type]
    ],
)
async def test_what_no_frontend_could_read_is_said_by_the_worker(
    info: EngineInfo | None, line: str, clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd(ObedientEngine):
        async def start(self) -> EngineInfo:
            return info  # type: ignore[return-value]

    monkeypatch.setattr(ManyProcesses, "create", lambda self, launch: Odd())
    monkeypatch.setattr(ManyProcesses, "has_children", False)
    monkeypatch.setitem(SPECS, "many", ManyProcesses())
    loader = Loader(parse_arguments(["--engine", "many"], os.environ), os.environ, lambda *_: None)
    with pytest.raises(EngineFailed, match=line):
        await loader.load()
    await loader.close()
