from __future__ import annotations

from pathlib import Path

import typer

from dynamo_cli.cli.common import Timeout


def register(app: typer.Typer) -> None:
    @app.command(short_help="Talk to a served model.")
    def chat(
        question: str | None = typer.Argument(None, help="Ask this and print only the answer; - reads it from stdin."),
        url: str | None = typer.Option(None, help="The server. Default: the running deployment, else port 8000."),
        model: str | None = typer.Option(None, help="The model. Default: the only one served."),
        system: str | None = typer.Option(None, help="The system message."),
        file: list[Path] = typer.Option([], "--file", "-f", metavar="FILE", help="Append its text; repeatable."),
        load: Path | None = typer.Option(None, metavar="FILE", help="Go on with a saved conversation."),
        temperature: float | None = typer.Option(None, min=0.0, max=2.0, help="0 always takes the likeliest token."),
        max_tokens: int | None = typer.Option(None, min=1, help="Most tokens of an answer."),
        top_p: float | None = typer.Option(None, help="Sample from the likeliest tokens with this share."),
        seed: int | None = typer.Option(None, help="Makes sampling repeatable."),
        markdown: bool = typer.Option(True, "--markdown/--no-markdown", help="Render answers in a terminal."),
        json: bool = typer.Option(False, "--json", help="Print the answer and its figures as JSON."),
        api_key: str | None = typer.Option(None, metavar="KEY", help="Default: OPENAI_API_KEY, for --url only."),
        timeout: Timeout = 120.0,
    ) -> None:
        """Talk to a served model.

        With a QUESTION, a --file or text piped in, only the answer goes to stdout; the question comes first, then
        what is piped in, then the files. Otherwise it is a conversation, and /help lists its commands. A deployment
        that is still loading its model is waited for.
        """
        from dynamo_cli.chat.run import Wish, run
        from dynamo_cli.chat.settings import Settings

        settings = Settings(model or "", temperature, max_tokens, top_p, seed)
        run(Wish(question, file, url, system, load, settings, markdown, json, api_key, timeout))
