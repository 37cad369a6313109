"""A model's name -> what an engine needs of it on this disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from dynamo_cli.hub.resolve import resolve_model


@dataclass(frozen=True)
class PreparedModel:
    """`text_path` is "" when the tokenizer is unknown; then engines that can take text do. `kind`: "gguf" or "hf"."""

    name: str
    path: Path
    kind: str
    text_path: str = ""
    text_digest: str = ""
    context_length: int = 0
    has_template: bool = False


class _Facts(msgspec.Struct):
    context_length: int = 0


def prepare_model(name: str) -> PreparedModel:
    """Find the model's files and lay out its tokenizer and template. Raises ModelMissing."""
    from dynamo_cli.text.bundle import prepare_bundle

    files = resolve_model(name or DEFAULT_MODEL)
    bundle = prepare_bundle(files)
    if bundle is None:
        return PreparedModel(files.name, files.path, files.kind)
    # The tokenizer itself stays unloaded: only frontends need it.
    facts = msgspec.json.decode((bundle / "text.json").read_bytes(), type=_Facts)
    return PreparedModel(
        name=files.name,
        path=files.path,
        kind=files.kind,
        text_path=str(bundle),
        text_digest=bundle.name,
        context_length=facts.context_length,
        has_template=(bundle / "chat_template.jinja").exists(),
    )
