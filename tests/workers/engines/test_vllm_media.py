"""Pictures through the real vLLM on the CPU, to a model whose weights are random; runs where vLLM's tests do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.engine import Delta, EngineRequest, OutputOptions, SamplingOptions, StopConditions
from dynamo_cli.protocol.media import Media
from dynamo_cli.workers.engine import EngineInfo
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.vllm.engine import VllmEngine
from dynamo_cli.workers.model import PreparedModel, readable
from dynamo_cli.workers.selftest import generate_one_token
from tests.workers.engines.cases import collect, real
from tests.workers.engines.tiny_vision import picture, write_tiny_vision

pytestmark = [pytest.mark.asyncio(loop_scope="module"), *real("vllm")]
ARGS = ("--max-model-len", "512", "--block-size", "32", "--dtype", "float32")
ARGS += ("--kv-cache-memory-bytes", "64M", "--max-num-seqs", "4")
RED, BLUE = "red", "blue"


class Seeing:
    def __init__(self, engine: VllmEngine, info: EngineInfo, directory: Path) -> None:
        from transformers import AutoTokenizer

        self.engine = engine
        self.info = info
        self.tokenizer = AutoTokenizer.from_pretrained(directory)

    async def ask(self, text: str, *media: Media) -> list[Delta]:
        request = EngineRequest(
            "base",
            self.tokenizer(text)["input_ids"],
            sampling=SamplingOptions(temperature=0.0),
            stop=StopConditions(max_tokens=4, ignore_eos=True),
            output=OutputOptions(logprobs=1),
            media=list(media),
        )
        return await collect(self.engine, request)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seeing(default_model: PreparedModel, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Seeing]:
    spec = registry.spec("vllm")
    directory = write_tiny_vision(tmp_path_factory.mktemp("vision"), readable(default_model, spec).path)
    runtime_dir = str(tmp_path_factory.mktemp("run"))
    launch = EngineLaunch(model_name="base", model_path=str(directory), args=ARGS, runtime_dir=runtime_dir)
    made = spec.create(launch)
    assert isinstance(made, VllmEngine)
    try:
        yield Seeing(made, await made.start(), directory)
    finally:
        await made.stop()


def images(*colors: str) -> list[Media]:
    return [Media("image", picture(color), type="image/png") for color in colors]


def first(deltas: list[Delta]) -> float:
    assert deltas[0].logprobs is not None
    return deltas[0].logprobs[0].logprob


def prompt_tokens(deltas: list[Delta]) -> int:
    assert deltas[-1].usage is not None
    return deltas[-1].usage.prompt_tokens


async def test_it_says_what_it_takes(seeing: Seeing) -> None:
    assert seeing.info.modalities == ("image",)
    await generate_one_token(seeing.engine, seeing.info, "base")


async def test_it_sees_each_picture_in_its_place(seeing: Seeing) -> None:
    text = "Before <image>\nand after <image>\nwhat?"
    answer = await seeing.ask(text, *images(RED, BLUE))
    again = await seeing.ask(text, *images(RED, BLUE))
    turned = await seeing.ask(text, *images(BLUE, RED))
    assert first(answer) == pytest.approx(first(again), abs=1e-5)
    assert first(answer) != pytest.approx(first(turned), abs=1e-5)
    plain = await seeing.ask("Before and after what?")
    assert prompt_tokens(answer) > prompt_tokens(plain) + 4, "a picture takes more than its place in the template"


@pytest.mark.parametrize(
    ("media", "why"),
    [
        (lambda: [Media("image", b"no picture")], "image: vLLM cannot read it: .*cannot identify image"),
        (lambda: [Media("video", b"no video")], "video: vLLM"),
        (lambda: images(RED, BLUE, RED), "messages: "),
    ],
)
async def test_what_it_cannot_look_at_is_one_line(seeing: Seeing, media: Callable[[], list[Media]], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why) as caught:
        await seeing.ask("One <image>\nwhat?", *media())
    assert "\n" not in str(caught.value)
    assert prompt_tokens(await seeing.ask("Still there?")) > 1
