"""What the command line says of a worker itself, in real processes."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import psutil
import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.engine import EngineRequest, SamplingOptions, StopConditions
from dynamo_cli.protocol.instance import ModelCard
from dynamo_cli.text.bundle import load_bundle
from dynamo_cli.workers.arguments import parse_arguments
from dynamo_cli.workers.model import PreparedModel, prepare_model
from tests.workers.processes import models, peer, worker
from tests.workers.test_host import MODEL, ends, health_becomes, llamacpp_args, until

TEMPLATE = "{% for m in messages %}<{{ m.content }}>{% endfor %}"


async def cards(runtime: object) -> list[ModelCard]:
    found = await models(runtime)  # type: ignore[arg-type]
    return [msgspec.msgpack.decode(value, type=ModelCard) for value in found.values()]


def test_a_template_of_ones_own_is_part_of_the_identity(tmp_path: Path, default_model: PreparedModel) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(TEMPLATE)
    prepared = prepare_model(MODEL, str(file))
    assert prepared.text_digest != default_model.text_digest and prepared.has_template
    template = load_bundle(Path(prepared.text_path)).template
    assert template is not None and template.render([{"role": "user", "content": "hi"}]) == "<hi>"
    assert prepare_model(MODEL).text_digest == default_model.text_digest
    file.write_text("{% for %}")
    for wrong, words in ((str(file), "syntax error|Expected an expression"), (str(tmp_path / "none"), "No such file")):
        with pytest.raises(UsageError, match=words):
            prepare_model(MODEL, wrong)


def test_roles() -> None:
    def role(*words: str, **environ: str) -> tuple[str, str]:
        arguments = parse_arguments([*words], environ)
        return arguments.role, arguments.endpoint_name

    assert role() == role("--no-is-prefill-worker") == ("aggregated", "dynamo.backend.generate")
    assert role("--is-prefill-worker") == role("--disaggregation-mode", "prefill")
    assert role("--is-prefill-worker", "--namespace", "n") == ("prefill", "n.prefill.generate")
    assert role("--is-decode-worker", DYN_VLLM_DISAGGREGATION_MODE="prefill") == ("decode", "dynamo.backend.generate")
    assert role("--is-prefill-worker", "--endpoint", "a.b.c") == ("prefill", "a.b.c")
    for wrong in (["--is-prefill-worker", "--is-decode-worker"], ["--disaggregation-mode", "encode"]):
        with pytest.raises(UsageError):
            role(*wrong)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--adapter", "a"], "--adapter 'a': want NAME=PATH"),
        (["--adapter", "a=b", "--adapter", "a=c"], "--adapter a is given twice"),
        (["--logits-processor", "os.path"], "--logits-processor 'os.path': want MODULE:NAME"),
    ],
)
def test_what_is_written_wrongly_is_named(words: list[str], line: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_arguments(words, {})
    assert str(error.value).startswith(line)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--engine", "mock", "--text-input"], "engine mock takes tokens alone: leave --text-input out"),
        (["--engine", "mock", "--logits-processor", "a:b"], "engine mock takes no logits processors"),
        (["--engine", "echo", "--headless"], "engine echo has no secondary nodes"),
        (["--engine", "echo", "--custom-jinja-template", "x"], "engine echo renders the messages itself"),
        (["--engine", "mock", "--custom-jinja-template", "/none"], "--custom-jinja-template /none: No such file"),
    ],
)
async def test_what_an_engine_cannot_be_asked_for(clean_environment: Path, words: list[str], line: str) -> None:
    with worker(clean_environment, "worker", *words) as process:
        assert await ends(process, 10) == 2
        assert line in process.log.splitlines()[-1]


@pytest.mark.slow
async def test_an_engine_that_tokenizes_itself_gets_text(clean_environment: Path, default_model: PreparedModel) -> None:
    with worker(clean_environment, *llamacpp_args(default_model), "--use-vllm-tokenizer") as process:
        async with peer() as (runtime, client):
            await client.wait_for_instances(1, timeout_s=20)
            (card,) = await until(lambda: client.instances()) and await cards(runtime)
            assert (card.identity.input, card.text_path) == ("text", "")
            request = EngineRequest("tiny", sampling=SamplingOptions(0.0), stop=StopConditions(4))
            request.messages = [{"role": "user", "content": "Say hello."}]
            assert "".join([delta.text async for delta in client.random(request)]).strip()
            process.process.terminate()
            assert await ends(process) == 0


@pytest.mark.slow
async def test_a_worker_that_prefills_registers_apart(clean_environment: Path) -> None:
    with worker(clean_environment, "worker", "--engine", "mock", "--is-prefill-worker") as process:
        async with peer() as (runtime, client):
            await health_becomes(process.pid, "ready")
            (card,) = await cards(runtime)
            assert (card.role, str(card.instance.endpoint)) == ("prefill", "dynamo.prefill.generate")
            assert not client.instances()


@pytest.mark.slow
async def test_a_headless_worker_is_an_engine_nobody_finds(clean_environment: Path) -> None:
    with worker(clean_environment, "worker", "--engine", "mock", "--headless") as process:
        async with peer() as (runtime, _):
            health = await health_becomes(process.pid, "ready")
            assert health["reason"] == "headless"
            assert not await cards(runtime)
            listening = [
                c for c in psutil.Process(process.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN
            ]
            assert not listening, json.dumps([str(one) for one in listening])
            process.process.terminate()
            assert await ends(process) == 0
