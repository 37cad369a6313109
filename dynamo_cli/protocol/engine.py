"""What a frontend asks of a worker and what the worker streams back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.media import Media

TokenId = Annotated[int, Meta(ge=0, lt=2**32)]
FinishReason = Literal["stop", "length", "cancelled", "error"]


class SamplingOptions(msgspec.Struct, omit_defaults=True, frozen=True):
    """None means: the engine's own default. `temperature` 0 is greedy."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[int, float] | None = None


class StopConditions(msgspec.Struct, omit_defaults=True, frozen=True):
    """Enforced by the engine. Stop *strings* are the frontend's; `stop` is filled for text-input workers alone.

    `stop_token_ids` already holds the model's end-of-sequence ids unless the request ignores them.
    """

    max_tokens: int | None = None
    min_tokens: int = 0
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()


class OutputOptions(msgspec.Struct, omit_defaults=True, frozen=True):
    """`logprobs`: how many alternatives to report for each token; None reports none."""

    logprobs: int | None = None


class GuidedDecoding(msgspec.Struct, omit_defaults=True, frozen=True):
    """The form the text must have: one field is set. `json`: a JSON schema; `grammar`: in the engine's own form.

    A sequence like this cannot go on with another worker: the state of the grammar is not in its tokens.
    """

    json: dict[str, Any] | None = None
    regex: str | None = None
    choice: tuple[str, ...] | None = None
    grammar: str | None = None

    @property
    def kind(self) -> str:
        return next(name for name in self.__struct_fields__ if getattr(self, name) is not None)


class Embedding(msgspec.Struct, omit_defaults=True, frozen=True):
    """A vector of the prompt. `dimensions`: how many numbers, None for as many as the model makes."""

    dimensions: int | None = None


class EngineRequest(msgspec.Struct, omit_defaults=True):
    """One sequence to generate, or, with `embedding`, one to make a vector of.

    A worker with input "tokens" gets `token_ids`; one with input "text" gets `messages` (chat, in
    OpenAI's form) or `prompt` (completions) and renders and tokenizes itself.

    `generated`: how many tokens another worker answered before this one takes over: the last ones of `token_ids`, or,
    of an engine that resumes, its deltas with text. The stop conditions are those of the rest. `media`: in the order of
    their places in the prompt, which the template has marked; each has its data by the time the engine sees it.

    `prefill_only`: compute the prompt's KV, keep it for whoever fetches it, and answer one last delta that has the
    `handover`. `handover` on a worker that decodes: fetch the KV from there instead of computing it.
    `let_go`: nothing to generate; nobody will fetch what the worker keeps under that hand-over.

    `probe`: the supervisor asks whether there is an answer at all; nobody counts it as a user's.
    """

    model: str
    token_ids: list[int] = []
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    sampling: SamplingOptions = SamplingOptions()
    stop: StopConditions = StopConditions()
    output: OutputOptions = OutputOptions()
    guided: GuidedDecoding | None = None
    generated: int = 0
    prefill_only: bool = False
    handover: Handover | None = None
    let_go: Handover | None = None
    embedding: Embedding | None = None
    media: list[Media] = []
    probe: bool = False


UNKNOWN_LOGPROB = -9999.0
"""What OpenAI says of a token whose logprob is not known."""


class TokenLogprob(msgspec.Struct, array_like=True):
    """`top`: the likeliest tokens at this place, each with its logprob."""

    token_id: int
    logprob: float
    top: list[tuple[int, float]] = []


class EngineUsage(msgspec.Struct, array_like=True):
    """Counts of tokens, on the last delta. `cached_tokens`: prompt tokens served from the KV cache.

    `transferred_tokens` and `transferred_bytes` of KV came from a prefill worker, in `transfer_s` seconds.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    transferred_tokens: int = 0
    transferred_bytes: int = 0
    transfer_s: float = 0.0


class Delta(msgspec.Struct, array_like=True, omit_defaults=True):
    """The tokens one sequence gained in an engine step. The last delta alone has a `finish_reason`.

    Text-input workers fill `text` and leave `token_ids` empty. End-of-sequence tokens are not included. When asked for,
    there is one of `logprobs` for each of `token_ids`. The one delta of a `prefill_only` request has a `handover`.
    `vector`: what a request with `embedding` asked for, in its only delta, as little-endian floats of 32 bits.
    `cached_tokens` and `fetched` come with the first token, too: a stop string may cut the answer off before there is a
    usage. `fetched`: what of the prompt's KV a prefill worker had, in tokens, bytes and seconds.
    """

    token_ids: list[TokenId] = []
    finish_reason: FinishReason | None = None
    text: str = ""
    logprobs: list[TokenLogprob] | None = None
    usage: EngineUsage | None = None
    handover: Handover | None = None
    vector: bytes = b""
    cached_tokens: int = 0
    fetched: tuple[int, int, float] | None = None
