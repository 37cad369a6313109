"""HTTP to llama.cpp's server over its unix socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec

from dynamo_cli.errors import DynamoError, EngineFailed, InvalidRequest


class Progress(msgspec.Struct):
    """How far a prompt is. `cache`: tokens that were in the KV cache."""

    cache: int = 0


class TopLogprob(msgspec.Struct):
    id: int
    logprob: float


class TokenProbability(msgspec.Struct):
    id: int
    logprob: float
    top_logprobs: list[TopLogprob] = []


class Failure(msgspec.Struct):
    message: str = "no reason given"
    code: int = 500


class Bias(msgspec.Struct):
    token: int


class GenerationSettings(msgspec.Struct):
    logit_bias: list[Bias] = []


class Event(msgspec.Struct):
    """One message of a stream. `tokens_predicted` counts all tokens so far, `tokens` lists those sent with it."""

    tokens: list[int] = []
    content: str = ""
    stop: bool = False
    stop_type: str = ""
    tokens_predicted: int = 0
    tokens_evaluated: int = 0
    prompt_progress: Progress | None = None
    completion_probabilities: list[TokenProbability] = []
    generation_settings: GenerationSettings | None = None
    error: Failure | None = None


class _Prompt(msgspec.Struct):
    prompt: str


class Slot(msgspec.Struct):
    id: int
    n_ctx: int
    is_processing: bool = False


class _Refusal(msgspec.Struct):
    error: Failure = msgspec.field(default_factory=Failure)


_event = msgspec.json.Decoder(Event)


class LlamaClient:
    def __init__(self, socket: str, key: str) -> None:
        self._session = aiohttp.ClientSession(
            base_url="http://llama",
            connector=aiohttp.UnixConnector(path=socket, limit=0, force_close=True),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=1 << 18,
        )

    async def close(self) -> None:
        await self._session.close()

    async def completion(self, body: dict[str, Any]) -> aiohttp.ClientResponse:
        """Start a stream; closing the response frees its slot. Raises InvalidRequest or EngineFailed."""
        return await self._post("/completion", body)

    async def slots(self) -> list[Slot]:
        async with self._session.get("/slots") as response:
            return msgspec.json.decode(await _whole(response), type=list[Slot])

    async def render(self, messages: list[dict[str, Any]]) -> str:
        """The prompt of a chat by the model's own template."""
        async with await self._post("/apply-template", {"messages": messages}) as response:
            return msgspec.json.decode(await _whole(response), type=_Prompt).prompt

    async def _post(self, path: str, body: dict[str, Any]) -> aiohttp.ClientResponse:
        try:
            response = await self._session.post(path, data=msgspec.json.encode(body))
        except aiohttp.ClientError as error:
            raise EngineFailed(f"llama.cpp does not answer: {error or type(error).__name__}") from None
        if response.status != 200:
            async with response:
                raise _refused(response.status, await response.read())
        return response


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[list[Event]]:
    """All messages of each read, until the stream ends. Raises EngineFailed when it breaks."""
    rest = b""
    try:
        async for chunk in response.content.iter_any():
            *whole, rest = (rest + chunk).split(b"\n\n")
            found = [_event.decode(line[6:]) for line in whole if line.startswith(b"data: {")]
            if found:
                yield found
    except (aiohttp.ClientError, RuntimeError) as error:  # RuntimeError: closed by us between two reads
        raise EngineFailed(f"llama.cpp broke off: {error or type(error).__name__}") from None


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    if response.status != 200:
        raise _refused(response.status, await response.read())
    return await response.read()


def _refused(status: int, body: bytes) -> DynamoError:
    try:
        message = msgspec.json.decode(body, type=_Refusal).error.message
    except msgspec.DecodeError:
        message = body.decode(errors="replace")[:200]
    return InvalidRequest(message) if status == 400 else EngineFailed(f"llama.cpp: {message}")
