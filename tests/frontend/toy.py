"""A model small enough to reason about: one token per byte, and workers that are a function of the request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from dynamo_cli.frontend.app import Frontend, FrontendOptions
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, TokenLogprob
from dynamo_cli.protocol.instance import ModelCard, ModelIdentity
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.endpoint import ServedEndpoint
from dynamo_cli.runtime.http.listener import bind
from dynamo_cli.runtime.runtime import DistributedRuntime

MODEL = "org/toy"
CONTEXT = 20_000
TEMPLATE = (
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}{% if add_generation_prompt %}a:{% endif %}"
)
END = "<|end|>"
Worker = Callable[[EngineRequest, Context], AsyncIterator[Delta]]


def write_bundle(directory: Path) -> Path:
    directory.mkdir(parents=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: at for at, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(END, special=True)])
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "chat_template.jinja").write_text(TEMPLATE)
    facts = {"eos_token_ids": [tokenizer.token_to_id(END)], "eos_token": END, "context_length": CONTEXT}
    (directory / "text.json").write_bytes(msgspec.json.encode(facts))
    return directory


async def echo(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
    """The prompt's tokens again, one at a time, as many as asked for; logprobs if asked for, too."""
    ids = request.token_ids[: request.stop.max_tokens]
    for token in ids[:-1]:
        yield Delta([token], logprobs=logprobs_of(request, token))
        if context.stopped:
            yield Delta(finish_reason="cancelled")
            return
    usage = EngineUsage(len(request.token_ids), len(ids), 3)
    yield Delta(ids[-1:], finish_reason="length", logprobs=logprobs_of(request, *ids[-1:]), usage=usage)


def logprobs_of(request: EngineRequest, *tokens: int) -> list[TokenLogprob] | None:
    """-token/1000, and as alternatives the tokens that follow it."""
    wanted = request.output.logprobs
    if wanted is None:
        return None
    return [TokenLogprob(t, -t / 1000, [(t + n, -(t + n) / 1000) for n in range(wanted)]) for t in tokens]


async def echo_text(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
    """For input "text": the last message or the prompt, word by word."""
    said = request.prompt if request.prompt is not None else (request.messages or [])[-1]["content"]
    words = said.split(" ")
    for word in words[:-1]:
        yield Delta(text=word + " ")
    yield Delta(text=words[-1], finish_reason="stop", usage=EngineUsage(len(words), len(words)))


async def endless(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
    """Token 65 until it is stopped."""
    while not context.stopped:
        yield Delta([request.token_ids[0]])
        await asyncio.sleep(0)
    yield Delta(finish_reason="cancelled")


class Deployment:
    """A frontend on a free port and any number of workers, in this process, over the real runtime."""

    def __init__(self, home: Path) -> None:
        self.bundle = write_bundle(home / "bundle")
        self.url = ""
        self.frontend: Frontend
        self._stack = AsyncExitStack()
        self._closed: set[Frontend] = set()

    async def __aenter__(self) -> Deployment:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def admin_sockets(self) -> list[Path]:
        return [path for _, path in self.frontend.server.unix_listeners]

    async def start(self, options: FrontendOptions | None = None, admin: bool = False) -> None:
        self.frontend, self.url = await self.add_frontend(options, admin=admin)

    async def add_frontend(
        self, options: FrontendOptions | None = None, service: str = "", admin: bool = True
    ) -> tuple[Frontend, str]:
        """One more, with its URL."""
        listener = bind("127.0.0.1", 0)
        frontend = Frontend(await self._runtime(service), options or FrontendOptions())
        self._stack.push_async_callback(self.close, frontend)
        await frontend.start(listener, admin=admin)
        return frontend, f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def close(self, frontend: Frontend) -> None:
        """Idempotent."""
        if frontend not in self._closed:
            self._closed.add(frontend)
            await frontend.close()

    async def add_worker(
        self,
        worker: Worker = echo,
        *,
        name: str = MODEL,
        identity: ModelIdentity | None = None,
        context: int = CONTEXT,
        service: str = "",
        **can: Any,
    ) -> ServedEndpoint:
        """`can`: what the model card says its engine can do."""
        runtime = await self._runtime(service)
        served = await runtime.endpoint("dynamo.backend.generate").serve(worker, request_type=EngineRequest)
        identity = identity or ModelIdentity(text_digest="toy")
        text_path = str(self.bundle) if identity.input == "tokens" else ""
        card = ModelCard(name, identity, served.instance, context_length=context, text_path=text_path, **can)
        await runtime.discovery.put(card.key, msgspec.msgpack.encode(card))
        return served

    async def ready(self, workers: int = 1, name: str = MODEL) -> None:
        """Until the frontend can send requests to so many workers of the model."""
        async with asyncio_deadline(10):
            while not self._serves(name, workers):
                await asyncio.sleep(0.005)

    def _serves(self, name: str, workers: int) -> bool:
        return any(m.name == name and len(m.routed.candidates) >= workers for m in self.frontend.models)

    async def _runtime(self, service: str = "") -> DistributedRuntime:
        home = str(self.bundle.parent)
        environ = {"DYN_DISCOVERY_BACKEND": "mem", "DYN_TOKEN": "toy", "DYNAMO_HOME": home, "DYNAMO_SERVICE": service}
        config = RuntimeConfig.from_args(None, environ)
        return await self._stack.enter_async_context(await DistributedRuntime.create(config))


class asyncio_deadline:
    """asyncio.timeout for Python 3.10."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._timer = asyncio.get_running_loop().call_later(self._seconds, task.cancel, f"{self._seconds} s are over")

    async def __aexit__(self, *error: object) -> None:
        self._timer.cancel()
