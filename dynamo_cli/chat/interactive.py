"""A chat with a person at a terminal, from the greeting to the end."""

from __future__ import annotations

import sys
import threading

from dynamo_cli.chat.commands import Commands
from dynamo_cli.chat.conversation import Conversation
from dynamo_cli.chat.prompt.history import History
from dynamo_cli.chat.prompt.lines import LineReader
from dynamo_cli.chat.repl import Repl
from dynamo_cli.chat.screen.display import styled
from dynamo_cli.chat.server import Server
from dynamo_cli.chat.session import Session
from dynamo_cli.chat.settings import Settings
from dynamo_cli.runtime.paths import dynamo_home

HISTORY = "chat_history"


def converse(server: Server, settings: Settings, conversation: Conversation, markdown: bool) -> None:
    """Until the person leaves."""
    session = Session(server, settings, conversation, sys.stdout, markdown)
    commands = Commands(session)
    lines = LineReader(History(dynamo_home() / HISTORY), commands.complete)
    if markdown and styled(sys.stdout):
        threading.Thread(target=_load_renderer, daemon=True).start()
    session.say(f"{settings.model} at {server.address.url}")
    so_far = f"{len(conversation.messages)} messages so far; " if conversation.messages else ""
    session.note(f"{so_far}/help lists the commands, Ctrl-D leaves")
    Repl(session, commands, lines.read, lines.remember).run()
    session.say("")


def _load_renderer() -> None:
    """What takes a moment to load is there when the first answer comes."""
    import rich.markdown
    import rich.syntax  # noqa: F401
