"""HTTP to llama.cpp's server over its unix socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from dynamo_cli.errors import DynamoError, EngineDied, EngineFailed, InvalidRequest
from dynamo_cli.runtime.http.client import Answer, request


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


class _Acted(msgspec.Struct):
    n_restored: int = 0


class _Refusal(msgspec.Struct):
    error: Failure = msgspec.field(default_factory=Failure)


_event = msgspec.json.Decoder(Event)


class LlamaClient:
    """One connection per request: a slot is freed when the connection of its request closes."""

    def __init__(self, socket: str, key: str) -> None:
        self._socket = socket
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    async def completion(self, body: dict[str, Any]) -> Answer:
        """Start a stream; closing the answer frees its slot. Raises InvalidRequest, EngineFailed or EngineDied."""
        return await self._call("POST", "/completion", body)

    async def slots(self) -> list[Slot]:
        async with await self._call("GET", "/slots") as answer:
            return msgspec.json.decode(await answer.read(), type=list[Slot])

    async def save(self, slot: int, filename: str) -> None:
        """Write what the slot holds to a file in `slot_save_path`."""
        await self._act(slot, "save", filename)

    async def restore(self, slot: int, filename: str) -> int:
        """Fill the slot from such a file; how many tokens it holds now. Raises InvalidRequest for what is no such."""
        return (await self._act(slot, "restore", filename)).n_restored

    async def render(self, messages: list[dict[str, Any]]) -> str:
        """The prompt of a chat by the model's own template."""
        async with await self._call("POST", "/apply-template", {"messages": messages}) as answer:
            return msgspec.json.decode(await answer.read(), type=_Prompt).prompt

    async def _act(self, slot: int, action: str, filename: str) -> _Acted:
        async with await self._call("POST", f"/slots/{slot}?action={action}", {"filename": filename}) as answer:
            return msgspec.json.decode(await answer.read(), type=_Acted)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        encoded = b"" if body is None else msgspec.json.encode(body)
        try:
            answer = await request(self._socket, method, path, headers=self._headers, body=encoded)
            if answer.status == 200:
                return answer
            async with answer:
                raise _refused(answer.status, await answer.read())
        except OSError as error:
            raise EngineDied(f"llama.cpp does not answer: {error}") from None


async def events(answer: Answer) -> AsyncIterator[list[Event]]:
    """All messages of each read, until the stream ends. Raises EngineDied when it breaks."""
    rest = b""
    try:
        while chunk := await answer.read_some():
            *whole, rest = (rest + chunk).split(b"\n\n")
            found = [_event.decode(line[6:]) for line in whole if line.startswith(b"data: {")]
            if found:
                yield found
    except OSError as error:
        raise EngineDied(f"llama.cpp broke off: {error}") from None


def _refused(status: int, body: bytes) -> DynamoError:
    try:
        message = msgspec.json.decode(body, type=_Refusal).error.message
    except msgspec.DecodeError:
        message = body.decode(errors="replace")[:200]
    return InvalidRequest(message) if status == 400 else EngineFailed(f"llama.cpp: {message}")
