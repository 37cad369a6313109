"""Engines of users: what they may be, and what is said of them when they are wrong."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dynamo_cli.errors import DynamoError, EngineFailed, EngineMissing, InvalidRequest, UsageError
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, StopConditions
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Engine, EngineInfo
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.custom.engine import PlainEngine
from dynamo_cli.workers.engines.custom.spec import CustomOptions
from tests.workers.engines.cases import collect

THEIRS = Path(__file__).with_name("theirs.py")
MODULE = "tests.workers.engines.theirs"


def make(target: str, *, text_path: str = "", **args: Any) -> Engine:
    options = CustomOptions(target=target if ":" in target else f"{MODULE}:{target}", args=args)
    return registry.spec("custom").create(EngineLaunch(model_name="m", options=options, text_path=text_path))


async def started(target: str, **args: Any) -> Engine:
    engine = make(target, **args)
    await engine.start()
    return engine


def text(prompt: str, **stop: Any) -> EngineRequest:
    return EngineRequest("m", prompt=prompt, stop=StopConditions(**stop))


def joined(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def line_of(words: str) -> int:
    return next(n for n, line in enumerate(THEIRS.read_text().splitlines(), 1) if words in line)


async def test_a_function_is_an_engine_and_its_arguments_are_options() -> None:
    assert joined(await collect(await started("spell"), text("ab"))) == "a-b-"
    assert joined(await collect(await started("spell", separator="."), text("ab"))) == "a.b."


async def test_a_subclass_of_engine_is_taken_as_it_is() -> None:
    engine = make("Whole", word="w")
    assert type(engine).__name__ == "Whole"
    assert await engine.start() == EngineInfo(input="text")


async def test_what_it_says_of_itself_and_when_it_is_called() -> None:
    engine = make("Lifetime")
    assert isinstance(engine, PlainEngine)
    info = await engine.start()
    assert (info.input, info.context_length, info.max_num_seqs, info.prefix_caching) == ("text", 99, 1, False)
    stream = engine.generate(text("x"), Context("r-1"))
    assert [(await stream.__anext__()).text for _ in range(2)] == ["a ", "b "]
    waiting = asyncio.ensure_future(collect(engine, text("y"), context := Context("r-2")))
    await asyncio.sleep(0)
    assert engine.load() == WorkerLoad(running=1, waiting=1)
    await engine.drain()
    context.stop()
    assert (await waiting)[-1].finish_reason == "cancelled"
    await stream.aclose()  # type: ignore[attr-defined]
    await engine.stop()
    assert engine._user.log == ["start m", "generate r-1", "drain", "closed", "stop"]


async def test_with_a_model_it_takes_tokens_and_must_answer_in_them(tmp_path: Path) -> None:
    engine = make("Broken", text_path=str(tmp_path))
    assert (await engine.start()).input == "tokens"
    with pytest.raises(EngineFailed, match="yielded text"):
        await collect(engine, EngineRequest("m", [1]))


@pytest.mark.parametrize("item", [-1, 1 << 32, [5, -1], True, [1 << 70], {"token_ids": [-1]}, [1.0]])
async def test_what_is_no_token_id_is_said_where_it_is_yielded(tmp_path: Path, item: Any) -> None:
    async def generate(request: EngineRequest) -> AsyncIterator[Any]:
        yield [7, (1 << 32) - 1]
        yield item

    engine = PlainEngine(None, generate, EngineLaunch(model_name="m", text_path=str(tmp_path)))
    await engine.start()
    with pytest.raises(EngineFailed, match="generate yielded "):
        await collect(engine, EngineRequest("m", [1]))


@pytest.mark.parametrize(
    ("prompt", "error", "line"),
    [
        ("raise", EngineFailed, f"{THEIRS}:{line_of('raise ValueError')}: ValueError: no such word"),
        ("refuse", InvalidRequest, "not this"),
        (
            "forsake",
            EngineFailed,
            f"{THEIRS}:{line_of('await forsaken')}: CancelledError: what generate waited for was cancelled",
        ),
        ("tokens", EngineFailed, "generate yielded token ids [1, 2], but this engine takes text: yield text"),
        ("nonsense", EngineFailed, "generate yielded 1.5; yield a token id, a list of them, text or a Delta"),
        (
            "field",
            EngineFailed,
            "generate yielded a dict with 'tokens'; it may have token_ids, finish_reason, text, logprobs, usage",
        ),
    ],
)
async def test_an_error_ends_its_request_and_no_other(prompt: str, error: type[DynamoError], line: str) -> None:
    engine = await started("Broken")
    got: list[Delta] = []
    with pytest.raises(error) as caught:
        async for delta in engine.generate(text(prompt), Context()):
            got.append(delta)  # noqa: PERF401
    assert str(caught.value) == line
    assert joined(got) == "so far "
    assert joined(await collect(engine, text("go"))) == "so far and on"
    assert engine.load() == WorkerLoad()
    await engine.stop()


async def test_a_delta_of_theirs_may_end_it() -> None:
    deltas = await collect(await started("Broken"), text("finish"))
    assert joined(deltas) == "so far x"
    assert deltas[-1] == Delta(finish_reason="length", usage=EngineUsage(1, 2))


async def test_a_stop_string_over_several_pieces() -> None:
    deltas = await collect(await started("spell", separator=""), text("one two", stop=("e tw",)))
    assert joined(deltas) == "on" and deltas[-1].finish_reason == "stop"
    deltas = await collect(await started("spell", separator=""), text("one tw", stop=("e two",)))
    assert joined(deltas) == "one tw"


async def test_one_that_never_waits_lets_others_run_and_can_be_stopped() -> None:
    engine = await started("Spinning")
    context = Context()
    spinning = asyncio.ensure_future(collect(engine, text("x"), context))
    assert len(await collect(engine, text("y", max_tokens=40))) == 41
    context.stop()
    assert (await asyncio.wait_for(spinning, 5))[-1].finish_reason == "cancelled"


async def test_one_that_will_not_be_cancelled_is_closed_at_its_next_item() -> None:
    engine = await started("Stubborn")
    context = Context()
    stubborn = asyncio.ensure_future(collect(engine, text("x"), context))
    assert len(await collect(engine, text("y", max_tokens=3))) == 4
    context.stop()
    assert (await asyncio.wait_for(stubborn, 5))[-1].finish_reason == "cancelled"
    await engine.stop()


@pytest.mark.parametrize(
    ("target", "args", "error", "line"),
    [
        ("no_such_module:X", {}, UsageError, "there is no module no_such_module in "),
        (f"{MODULE}.deeper:X", {}, UsageError, f"there is no module {MODULE}.deeper in "),
        ("Nobody", {}, UsageError, f"{THEIRS} has no Nobody"),
        ("NUMBER", {}, UsageError, "is neither a class nor a function"),
        ("Silent", {}, UsageError, "has no method generate"),
        ("Backwards", {"speed": 1}, UsageError, "options.args: got an unexpected keyword argument 'speed'"),
        ("Plain", {}, UsageError, f"{THEIRS}:{line_of('async def generate(self, request: EngineRequest) -> str')}: "),
        ("Blocking", {}, UsageError, "generate must be an async generator"),
        ("Fails", {}, UsageError, f"{THEIRS}:{line_of('raise OSError')}: OSError: the weights are gone"),
    ],
)
def test_what_cannot_be_an_engine(target: str, args: dict[str, Any], error: type[DynamoError], line: str) -> None:
    with pytest.raises(error) as caught:
        make(target, **args)
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith("target ")


@pytest.mark.parametrize(
    ("target", "error", "line"),
    [
        ("FailsLater", EngineFailed, f"{THEIRS}:{line_of('raise RuntimeError')}: RuntimeError: out of memory"),
        ("Liar", UsageError, "what Liar says of itself is wrong: Expected `int`, got `str` - at `$.context_length`"),
    ],
)
async def test_what_cannot_start(target: str, error: type[DynamoError], line: str) -> None:
    with pytest.raises(error) as caught:
        await make(target).start()
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("code", "error", "line"),
    [
        ("x = 1\ndef f(:\n", UsageError, "wrong_0.py:2: SyntaxError: "),
        ("\nimport no_such_package\n", EngineMissing, "wrong_1.py:2: ModuleNotFoundError: No module named"),
        ("1 / 0\n", UsageError, "wrong_2.py:1: ZeroDivisionError: division by zero"),
        ("import json\njson.loads('{')\n", UsageError, "wrong_3.py:2: JSONDecodeError: "),
    ],
)
def test_a_module_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, error: type[DynamoError], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = line.partition(".")[0]
    (tmp_path / f"{name}.py").write_text(code)
    with pytest.raises(error) as caught:
        make(f"{name}:X")
    assert f"{tmp_path}/{line}" in str(caught.value) and "\n" not in str(caught.value)
