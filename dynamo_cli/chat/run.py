"""`dynamo chat`: one question, or a conversation."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from dynamo_cli.chat.answer import Answer
from dynamo_cli.chat.connect import connect
from dynamo_cli.chat.conversation import Conversation
from dynamo_cli.chat.oneshot import print_answer, print_json
from dynamo_cli.chat.question import as_utf8, assemble, read_any_bytes
from dynamo_cli.chat.saved import SavedChat, load
from dynamo_cli.chat.settings import Settings, check
from dynamo_cli.errors import UsageError


@dataclass(frozen=True)
class Wish:
    """What the command line asks for; the model of `settings` is empty when it names none."""

    question: str | None
    files: list[Path]
    url: str | None
    system: str | None
    saved: Path | None
    settings: Settings
    markdown: bool
    json: bool
    api_key: str | None
    timeout_s: float


def run(wish: Wish) -> None:
    """Raises DynamoError: everything that can be wrong is found before the server is asked."""
    settings = check(wish.settings)
    read_any_bytes()
    question = assemble(wish.question, wish.files)
    if question is None and (wish.json or not sys.stdout.isatty()):
        raise UsageError("a conversation needs a terminal; give a QUESTION, or pipe it in")
    saved = load(wish.saved) if wish.saved else None
    conversation = _conversation(saved, wish.system)
    preferred = saved.model if saved else None
    server, model = connect(wish.url, settings.model or None, preferred, wish.api_key, wish.timeout_s)
    try:
        settings = replace(settings, model=model)
        if question is None:
            from dynamo_cli.chat.interactive import converse

            converse(server, settings, conversation, wish.markdown)
        elif wish.json:
            print_json(Answer(server, settings, conversation.asking(question)))
        else:
            print_answer(Answer(server, settings, conversation.asking(question)), wish.markdown)
    finally:
        server.close()


def _conversation(saved: SavedChat | None, system: str | None) -> Conversation:
    conversation = Conversation()
    if saved:
        conversation.replace(saved.messages)
    if system is not None:
        conversation.system = as_utf8(system)
    return conversation
