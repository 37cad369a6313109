"""Fields of chat alone."""

from __future__ import annotations

from dynamo_cli.frontend.openapi.fields.common import REFUSED
from dynamo_cli.frontend.openapi.fields.field import Field, ref

MESSAGES = Field(
    "The conversation so far.",
    schema={"type": "array", "minItems": 1, "items": ref("Message")},
    example=[{"role": "user", "content": "What color is the sky?"}],
)
TOOLS = Field(
    "Functions the model may call. The model's template renders them.", schema={"type": "array", "items": ref("Tool")}
)
GENERATION_PROMPT = Field("End the prompt with the head of the assistant's next message.", default=True)
CONTINUE = Field(
    "Go on with the last message, which must be the assistant's and say something. "
    "Not together with `add_generation_prompt`.",
    default=False,
)
TEMPLATE_KWARGS = Field("Variables for the model's chat template.", example={"enable_thinking": False})

CHAT = {
    "messages": MESSAGES,
    "max_completion_tokens": Field("OpenAI's newer name of `max_tokens`; it wins."),
    "logprobs": Field("Tell the log probability of each token. Needs an engine that can.", default=False),
    "top_logprobs": Field("With `logprobs`: so many of the likeliest tokens at each place.", default=0),
    "tools": TOOLS,
    "tool_choice": Field(
        "`none` hides the tools from the template; calls cannot be forced yet.",
        schema={"enum": ["none", "auto", None]},
        default="auto",
    ),
    "documents": Field("Texts for the model's template."),
    "reasoning_effort": Field("Handed to the model's template.", example="low"),
    "chat_template_kwargs": TEMPLATE_KWARGS,
    "chat_template_args": Field("Another name of `chat_template_kwargs`, which wins."),
    "add_generation_prompt": GENERATION_PROMPT,
    "continue_final_message": CONTINUE,
    "functions": Field(REFUSED, schema={"type": "array", "maxItems": 0}),
    "modalities": Field("Text is all there is.", schema={"enum": [["text"], None]}),
    "audio": Field(REFUSED, schema={"type": "null"}),
}
