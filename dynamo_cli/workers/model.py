"""A model's name -> what an engine needs of it on this disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from dynamo_cli.errors import ModelMissing, UsageError
from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from dynamo_cli.hub.resolve import resolve_model
from dynamo_cli.text.facts import FACTS, TEMPLATE, TextFacts
from dynamo_cli.text.prepare import prepare_bundle
from dynamo_cli.workers.engines.base import EngineSpec


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


def prepare_model(name: str, template_file: str = "") -> PreparedModel:
    """Find the model's files and lay out its tokenizer and template, of which the file takes the place.

    Raises ModelMissing, and UsageError for a template that cannot be used.
    """
    template = _template(template_file) if template_file else None
    files = resolve_model(name or DEFAULT_MODEL)
    bundle = prepare_bundle(files, template)
    if bundle is None:
        if template is not None:
            raise UsageError(
                f"--custom-jinja-template: the engine alone can tokenize for {files.name}, and renders too"
            )
        return PreparedModel(files.name, files.path, files.kind)
    # The tokenizer itself stays unloaded: only frontends need it.
    facts = msgspec.json.decode((bundle / FACTS).read_bytes(), type=TextFacts)
    return PreparedModel(
        name=files.name,
        path=files.path,
        kind=files.kind,
        text_path=str(bundle),
        text_digest=bundle.name,
        context_length=facts.context_length,
        has_template=(bundle / TEMPLATE).exists(),
    )


def readable(model: PreparedModel, spec: EngineSpec) -> PreparedModel:
    """The model in a format the engine reads, converted when it has to be: that takes seconds, once.

    Its text stays what it was, so that workers with engines of both kinds serve one model. Raises ModelMissing when
    there is no way, ResourceMissing for a full disk, EngineMissing when what converts is not installed.
    """
    from dynamo_cli.hub.convert import convert_gguf

    if not spec.formats or model.kind in spec.formats:
        return model
    if model.kind == "gguf" and model.text_path:
        return replace(model, path=convert_gguf(model.path, Path(model.text_path)), kind="hf")
    form = {"gguf": "a GGUF file", "hf": "in Hugging Face format"}
    wanted = " or ".join(form[one] for one in spec.formats)
    raise ModelMissing(f"model {model.name} is {form[model.kind]}, and engine {spec.name} wants it {wanted}")


def _template(file: str) -> str:
    from dynamo_cli.text.template import ChatTemplate

    try:
        source = Path(file).expanduser().read_text("utf-8")
        ChatTemplate(source)
    except OSError as error:
        raise UsageError(f"--custom-jinja-template {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--custom-jinja-template {file}: is no text") from None
    except ModelMissing as error:
        raise UsageError(f"--custom-jinja-template {file}: {error}") from None
    return source
