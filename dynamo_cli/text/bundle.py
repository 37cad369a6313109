"""What a frontend needs to know of a model's text, as a directory that is named by its content."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.paths import cache_dir, disk_errors
from dynamo_cli.hub.resolve import ModelFiles
from dynamo_cli.text.sources import TextFacts, TextSource, read_source
from dynamo_cli.text.template import ChatTemplate
from dynamo_cli.text.tokenizer import Tokenizer

TOKENIZER, TEMPLATE, FACTS = "tokenizer.json", "chat_template.jinja", "text.json"


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


def prepare_bundle(files: ModelFiles) -> Path | None:
    """Write the bundle of a model into the cache, unless it is there; None when only the engine can tokenize.

    Raises ModelMissing for unusable files, ResourceMissing when the cache cannot be written.
    """
    source = read_source(files)
    if source is None:
        return None
    contents = _contents(source)
    shelf = cache_dir() / "text"
    target = shelf / _digest(contents)
    if target.is_dir():
        return target
    with disk_errors(shelf):
        shelf.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".tmp-", dir=shelf))
        try:
            for name, content in contents.items():
                (scratch / name).write_bytes(content)
            _rename_if_first(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


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


def _contents(source: TextSource) -> dict[str, bytes]:
    contents = {TOKENIZER: source.tokenizer, FACTS: msgspec.json.encode(source.facts)}
    if source.template is not None:
        contents[TEMPLATE] = source.template.encode("utf-8", "replace")
    return contents


def _digest(contents: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(contents):
        digest.update(f"{name} {len(contents[name])}\n".encode())
        digest.update(contents[name])
    return digest.hexdigest()[:32]


def _rename_if_first(scratch: Path, target: Path) -> None:
    scratch.chmod(0o755)
    try:
        os.rename(scratch, target)
    except OSError:
        if not target.is_dir():  # else another process was faster, with the same content
            raise
