from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import typer

from dynamo_cli.errors import UsageError

if TYPE_CHECKING:
    from dynamo_cli.chat.answer import Settings
    from dynamo_cli.chat.conversation import Conversation


def register(app: typer.Typer) -> None:
    @app.command()
    def chat(
        question: str | None = typer.Argument(None, help="Ask this and print only the answer. Default: interactive."),
        url: str | None = typer.Option(None, help="The server. Default: the running deployment, else port 8000."),
        model: str | None = typer.Option(None, help="The model. Default: the only one served."),
        system: str = typer.Option("", help="The system message."),
        temperature: float | None = typer.Option(None, min=0.0, max=2.0, help="0 always takes the likeliest token."),
        max_tokens: int | None = typer.Option(None, min=1, help="Most tokens of an answer."),
    ) -> None:
        """Talk to a served model.

        With a QUESTION the answer goes to stdout; text piped in is appended to the question. Without one, every line
        is a question and /help lists the commands.
        """
        from dynamo_cli.bench.target import choose_model, default_url, parse_url
        from dynamo_cli.chat.answer import Settings
        from dynamo_cli.chat.conversation import Conversation

        _read_any_bytes()
        if question is not None:
            question = _with_piped_text(_as_utf8(question))
        address = parse_url(url or default_url())
        settings = Settings(address, choose_model(address, model), temperature, max_tokens)
        conversation = Conversation(_as_utf8(system))
        if question is None:
            _converse(settings, conversation)
        else:
            _ask(settings, conversation.asking(question))


def _read_any_bytes() -> None:
    """Text on stdin is UTF-8 whatever the locale says, and a byte that is not is no reason to crash."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")


def _as_utf8(argument: str) -> str:
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _with_piped_text(question: str) -> str:
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read().strip()
    text = "\n\n".join(part for part in (question.strip(), piped) if part)
    if not text:
        raise UsageError("the question is empty")
    return text


def _ask(settings: Settings, messages: list[dict[str, str]]) -> None:
    from contextlib import closing

    from dynamo_cli.chat.answer import Answer

    answer = Answer(settings, messages)
    try:
        with closing(answer.stream()) as pieces:
            for piece in pieces:
                print(piece, end="", flush=True)
    finally:
        if answer.text:
            print(flush=True)
    if sys.stderr.isatty():
        print(f"[{answer.figures()}]", file=sys.stderr)


def _converse(settings: Settings, conversation: Conversation) -> None:
    from dynamo_cli.chat.repl import Repl

    terminal = sys.stdin.isatty()
    if terminal:
        try:
            import readline  # noqa: F401  (gives input() its line editing and history)
        except ImportError:
            pass
        print(f"{settings.model} at {settings.address.url}; /help lists commands, Ctrl-D leaves")
    Repl(settings, conversation, lambda: input("> " if terminal else ""), sys.stdout).run()
    if terminal:
        print()
