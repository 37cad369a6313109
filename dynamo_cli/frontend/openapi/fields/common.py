"""Fields that chat and completions share."""

from __future__ import annotations

from dynamo_cli.frontend.openapi.fields.field import Field, Schema, ref
from dynamo_cli.protocol.decode import MAX_CHOICES, MAX_STOPS
from dynamo_cli.protocol.guided import MOST_BYTES

REFUSED = "Not supported: refused unless it says nothing."
_GUIDES = f"Only one field can guide an answer; at most {MOST_BYTES >> 10} KiB. Needs an engine that can."
TOKEN_ID: Schema = {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**32}
_TEXT = {"type": "string", "pattern": r"\S"}

GUIDED = {
    "guided_json": Field(
        f"The answer is JSON of this schema, given as an object or as its text. {_GUIDES}",
        schema={"anyOf": [ref("JsonSchema"), {"type": "string"}, {"type": "null"}]},
        example={"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]},
    ),
    "guided_regex": Field(f"The answer matches this regular expression. {_GUIDES}", schema=_TEXT, example="(yes|no)"),
    "guided_choice": Field(
        f"The answer is one of these texts. {_GUIDES}",
        schema={"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
        example=["yes", "no"],
    ),
    "guided_grammar": Field(
        f"The answer follows this grammar, in the engine's own form (GBNF). {_GUIDES}", schema=_TEXT
    ),
}

COMMON = {
    "model": Field(
        "A model that is served here: one of `GET /v1/models`.", example="HuggingFaceTB/SmolLM2-135M-Instruct"
    ),
    "stream": Field("Answer with server-sent events as the text comes.", default=False),
    "stream_options": Field("Only with `stream`."),
    "n": Field(
        f"How many choices for each prompt; at most {MAX_CHOICES} in one answer. "
        "With a seed, choice i is generated with seed + i.",
        default=1,
    ),
    "best_of": Field("Refused unless it equals `n`."),
    "max_tokens": Field(
        "The most tokens to generate. Without it: as many as the model's context has room for. "
        "More than there is room for is refused."
    ),
    "min_tokens": Field("No end of sequence, and no stop string, before so many tokens.", default=0),
    "temperature": Field(
        "0 takes the likeliest token always. Without it the engine's own default counts.", example=0.7
    ),
    "top_p": Field("Draw from the likeliest tokens whose probabilities add up to this.", example=0.9),
    "top_k": Field("Draw from so many of the likeliest tokens; -1 and 0 are off.", example=40),
    "min_p": Field("Draw only from tokens at least this likely, relative to the likeliest one.", example=0.05),
    "seed": Field("The same seed gives the same answer, as far as the engine can.", example=42),
    "presence_penalty": Field("Against tokens that have occurred at all.", example=0.5),
    "frequency_penalty": Field("Against tokens as often as they have occurred.", example=0.5),
    "repetition_penalty": Field("Divides the likelihood of tokens that have occurred; 1 is none.", example=1.1),
    "logit_bias": Field(
        "Token id → what is added to its logit.",
        schema={
            "type": "object",
            "propertyNames": {"pattern": "^(0|[1-9][0-9]{0,9})$"},
            "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
        },
        example={"198": -100},
    ),
    "stop": Field(
        "The text ends before the first of these strings.",
        schema={
            "anyOf": [
                {"type": "string"},
                {"type": "array", "maxItems": MAX_STOPS, "items": {"type": "string", "minLength": 1}},
                {"type": "null"},
            ]
        },
        example=["\n\n"],
    ),
    "stop_token_ids": Field("The sequence ends at any of these tokens."),
    "include_stop_str_in_output": Field("The stop string ends the text instead of being cut off.", default=False),
    "ignore_eos": Field("Go on after the end of sequence, up to `max_tokens`.", default=False),
    "skip_special_tokens": Field("Leave special tokens out of the text.", default=True),
    "response_format": Field(
        "The form of the answer. JSON needs an engine that can.", schema=ref("ResponseFormat"), example={"type": "text"}
    ),
    "structured_outputs": Field(f"vLLM's way to guide an answer. {_GUIDES}", schema=ref("StructuredOutputs")),
    **GUIDED,
    "nvext": Field("Dynamo's extension."),
    "use_beam_search": Field(REFUSED, schema={"enum": [False, None]}),
    "prompt_logprobs": Field(REFUSED, schema={"type": "null"}),
    "allowed_token_ids": Field(REFUSED, schema={"type": "array", "maxItems": 0}),
    "bad_words": Field(REFUSED, schema={"type": "array", "maxItems": 0}),
    "truncate_prompt_tokens": Field(REFUSED, schema={"type": "null"}),
}

STREAM_OPTIONS = {
    "include_usage": Field("One more event before the end, without choices, tells the tokens used.", default=False),
    "continuous_usage_stats": Field("Every event tells the tokens used so far.", default=False),
}

NVEXT = {
    "token_data": Field("The prompt as token ids, instead of messages or `prompt`."),
    "backend_instance_id": Field(
        "The worker that shall answer: its instance id as a number, or as discovery writes it (hexadecimal)."
    ),
    "greed_sampling": Field("Same as `temperature` 0.", default=False),
    "use_raw_prompt": Field(
        "The contents of the messages are the prompt, without the model's template.", default=False
    ),
    "max_thinking_tokens": Field("Accepted and ignored."),
    "extra_fields": Field(
        "What the answer tells of itself in its own `nvext`: `worker_id`, `timing`; other names are ignored.",
        example=["worker_id", "timing"],
    ),
    "annotations": Field(
        "What a stream tells of its prompt before it begins: `formatted_prompt`, `token_ids`; other names are ignored.",
        example=["token_ids"],
    ),
    "agent_hints": Field("What router mode kv may expect of the request."),
    "router_config_override": Field("Options of router mode kv for this request alone."),
    **GUIDED,
}

AGENT_HINTS = {"osl": Field("The number of output tokens to expect.", example=128)}

ROUTER_OVERRIDE = {
    "overlap_score_credit": Field("Blocks saved for each block of the prompt found at a worker.", example=1.0),
    "overlap_score_weight": Field("The older name of `overlap_score_credit`."),
    "router_temperature": Field("0: always the cheapest worker; more: dearer ones too, by softmax.", example=0.0),
}
