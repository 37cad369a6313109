"""A model's text as a frontend uses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from dynamo_cli.errors import ModelMissing
from dynamo_cli.text.facts import FACTS, TEMPLATE, TOKENIZER, TextFacts
from dynamo_cli.text.template import ChatTemplate
from dynamo_cli.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class TextBundle:
    """`digest` covers tokenizer, template and facts: workers of one model must agree on it."""

    digest: str
    tokenizer: Tokenizer
    template: ChatTemplate | None
    eos_token_ids: tuple[int, ...]
    bos_token_id: int | None
    add_bos: bool
    context_length: int

    def encode_chat(self, prompt: str) -> list[int]:
        """The ids of a rendered template: BOS comes first where the model wants it, and only once."""
        ids = self.tokenizer.encode(prompt, add_special_tokens=False)
        if self.add_bos and self.bos_token_id is not None and ids[:1] != [self.bos_token_id]:
            ids.insert(0, self.bos_token_id)
        return ids


def load_bundle(path: Path) -> TextBundle:
    """Raises ModelMissing when `path` is not a whole bundle."""
    try:
        facts = msgspec.json.decode((path / FACTS).read_bytes(), type=TextFacts)
        template_file = path / TEMPLATE
        template = template_file.read_text("utf-8") if template_file.exists() else None
    except (OSError, ValueError) as error:
        raise ModelMissing(f"{path}: not a text bundle: {error}") from error
    return TextBundle(
        digest=path.name,
        tokenizer=Tokenizer.from_file(path / TOKENIZER),
        template=None if template is None else ChatTemplate(template, facts.bos_token, facts.eos_token),
        eos_token_ids=tuple(facts.eos_token_ids),
        bos_token_id=facts.bos_token_id,
        add_bos=facts.add_bos,
        context_length=facts.context_length,
    )
