"""`dynamo init`: a topology to start from."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from dynamo_cli.topology.draft.draft import Draft
    from dynamo_cli.topology.draft.facts import Facts


def register(app: typer.Typer) -> None:
    @app.command(short_help="Write a topology for a model and this machine.")
    def init(
        model: str = typer.Argument("", help="A name or path; else the default model."),
        gpus: str = typer.Option(
            "", "--gpus", metavar="WHAT", help="For a machine with these GPUs: 8xH100-80GB, 2xL40S, or a .json file."
        ),
        engine: str = typer.Option("auto", metavar="auto|llamacpp|vllm|mock", help="Default: what suits the model."),
        context: int = typer.Option(0, metavar="N", min=0, help="Tokens of the longest request."),
        disagg: bool = typer.Option(False, "--disagg/--agg", help="Prompts on workers of their own, or not."),
        output: str = typer.Option("", "-o", "--output", metavar="FILE", help="Default: NAME.toml; - prints it."),
        force: bool = typer.Option(False, "--force", help="Overwrite the file."),
    ) -> None:
        """Write a commented topology in which the model fits: engine, GPUs of a worker, workers, context.

        Weights and KV cache are estimated from the model's metadata; each value says why it is what it is.
        """
        from dynamo_cli.hub.catalogue import DEFAULT_MODEL
        from dynamo_cli.topology.draft.choose import choose
        from dynamo_cli.topology.draft.draft import Wishes
        from dynamo_cli.topology.draft.facts import gather_facts
        from dynamo_cli.topology.draft.text import draft_text
        from dynamo_cli.topology.draft.write import write_draft

        facts = gather_facts(model or DEFAULT_MODEL, gpus)
        draft = choose(facts, Wishes(engine=engine, context=context, disagg=disagg))
        file = output or f"{draft.name}.toml"
        text = draft_text(draft, facts, "FILE" if file == "-" else shlex.quote(file), _command())
        if file == "-":
            print(text, end="")
        else:
            write_draft(Path(file), text, force=force)
            print(_done(draft, file, gpus))
        for line in _hindrances(draft, facts):
            print(f"dynamo: warning: {line}", file=sys.stderr)


def _command() -> str:
    return shlex.join(["dynamo", *sys.argv[1:]])


def _done(draft: Draft, file: str, gpus: str) -> str:
    pools = ", ".join(f"{workers} {name}" for name, workers in draft.pools.items())
    context = f", {draft.context:,} tokens of context" if draft.context else ""
    described = f" --gpus {gpus}" if gpus else ""
    name = shlex.quote(file)
    return f"wrote {file}: {draft.engine}, {pools}{context}\nnext: dynamo plan {name}{described}, dynamo up {name}"


def _hindrances(draft: Draft, facts: Facts) -> list[str]:
    """What has to be done before `up` can start it."""
    absent = f"model {draft.model} is not on this disk; run `dynamo pull {draft.model}`"
    unknown = f"the memory it needs is not known: {draft.unknown}" if draft.unknown else ""
    found = [facts.missing.get(draft.engine, ""), unknown, "" if facts.is_here or absent in unknown else absent]
    return [line for line in found if line]
