"""The OpenAI requests this server answers, as types. What is no field here is ignored, as null is everywhere."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.engine import TokenId

PositiveInt = Annotated[int, Meta(ge=1, le=2**31 - 1)]
NaturalInt = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""Counts of tokens: engines keep them in 32 bits."""
MOST_WEIGHT = 1000
"""Of what a router weighs blocks and requests with: far more than is of use, and no sum of such is without end."""
InstanceId = Annotated[int, Meta(ge=0)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Message = dict[str, Any]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class AgentHints(msgspec.Struct):
    """`osl`: the output tokens to expect."""

    osl: NaturalInt | None = None


class RouterOverride(msgspec.Struct):
    """For this request, in place of the router's own; weight is the older name of credit."""

    overlap_score_credit: Annotated[float, Meta(ge=0, le=MOST_WEIGHT)] | None = None
    overlap_score_weight: Annotated[float, Meta(ge=0, le=MOST_WEIGHT)] | None = None
    router_temperature: Annotated[float, Meta(ge=0)] | None = None


class NvExt(msgspec.Struct):
    """The reference's request extension. `backend_instance_id`: a number, or the hexadecimal id as text.

    `extra_fields`: what the answer shall tell about itself in its own `nvext`; names that are not known are ignored.
    `annotations`: what a stream shall tell of its prompt before it begins. `agent_hints` and `router_config_override`
    are for router mode kv. `max_thinking_tokens` has no effect yet.
    """

    token_data: Annotated[list[TokenId], Meta(min_length=1)] | None = None
    backend_instance_id: InstanceId | str | None = None
    greed_sampling: bool | None = None
    use_raw_prompt: bool | None = None
    max_thinking_tokens: NaturalInt | None = None
    extra_fields: list[str] | None = None
    annotations: list[str] | None = None
    agent_hints: AgentHints | None = None
    router_config_override: RouterOverride | None = None
    guided_json: Any = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None


class GenerateRequest(msgspec.Struct, kw_only=True):
    """What chat and completions have in common. Fields below the blank line are refused unless they say nothing."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=128)] | None = None
    max_tokens: PositiveInt | None = None
    min_tokens: NaturalInt | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=2)] | None = None
    logit_bias: dict[TokenId, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[TokenId] | None = None
    include_stop_str_in_output: bool | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    response_format: dict[str, Any] | None = None
    structured_outputs: dict[str, Any] | None = None
    guided_json: Any = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None
    nvext: NvExt | None = None

    use_beam_search: bool | None = None
    prompt_logprobs: int | None = None
    allowed_token_ids: list[int] | None = None
    bad_words: list[str] | None = None
    truncate_prompt_tokens: int | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        if not self.stop:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def alternatives(self) -> int | None:
        """How many likeliest tokens to tell at each place; None: no logprobs at all."""
        return None


class ChatRequest(GenerateRequest, kw_only=True):
    messages: list[Message]
    max_completion_tokens: PositiveInt | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    documents: list[dict[str, Any]] | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    chat_template_args: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None

    functions: list[Any] | None = None
    modalities: list[str] | None = None
    audio: Any = None

    @property
    def alternatives(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(GenerateRequest, kw_only=True):
    prompt: str | list[str | TokenId | list[TokenId]]
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    echo: bool | None = None

    suffix: str | None = None

    @property
    def alternatives(self) -> int | None:
        return self.logprobs

    def prompts(self) -> list[str | list[int]]:
        """The texts or token lists to go on with. Raises InvalidRequest for an empty or mixed list."""
        return one_by_one(self.prompt, "prompt")


class EmbeddingRequest(msgspec.Struct, kw_only=True):
    """The field below the blank line is refused unless it says nothing."""

    model: str
    input: str | list[str | TokenId | list[TokenId]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: PositiveInt | None = None
    nvext: NvExt | None = None

    truncate_prompt_tokens: int | None = None

    def inputs(self) -> list[str | list[int]]:
        """The texts or token lists to make vectors of. Raises InvalidRequest for an empty or mixed list."""
        return one_by_one(self.input, "input")


def one_by_one(given: str | list[str | int | list[int]], field: str) -> list[str | list[int]]:
    """Each text or token list of a field that may hold one or several. Raises InvalidRequest naming it."""
    if isinstance(given, str):
        return [given]
    kinds = {type(item) for item in given}
    if len(kinds) != 1:
        raise InvalidRequest(f"{field}: want text, token ids, or a list of one of them", field)
    if kinds == {int}:
        return [given]  # type: ignore[list-item]
    return given  # type: ignore[return-value]
