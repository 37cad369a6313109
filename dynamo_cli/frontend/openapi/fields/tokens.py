"""Fields of tokenize and detokenize."""

from __future__ import annotations

from dynamo_cli.frontend.openapi.fields.chat import CONTINUE, GENERATION_PROMPT, MESSAGES, TEMPLATE_KWARGS, TOOLS
from dynamo_cli.frontend.openapi.fields.field import Field

_MODEL = Field("A model that is served here. May be left out when there is only one.")

TOKENIZE = {
    "model": _MODEL,
    "prompt": Field("A text. Either this or `messages`.", example="What color is the sky?"),
    "messages": MESSAGES._replace(text="A conversation, rendered by the model's template. Either this or `prompt`."),
    "add_special_tokens": Field(
        "What the tokenizer puts around a text, such as a beginning of sequence. Without it: yes for a prompt, no for "
        "messages, whose template does it."
    ),
    "add_generation_prompt": GENERATION_PROMPT,
    "continue_final_message": CONTINUE,
    "chat_template_kwargs": TEMPLATE_KWARGS,
    "tools": TOOLS,
    "return_token_strs": Field("Tell each token's text, too.", default=False),
}
DETOKENIZE = {
    "tokens": Field("Token ids.", example=[1780, 2960, 314, 260, 6376, 47]),
    "model": _MODEL,
}
