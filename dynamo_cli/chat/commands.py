"""The commands of an interactive chat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.chat.prompt import completion
from dynamo_cli.chat.saved import load, save
from dynamo_cli.chat.session import Session
from dynamo_cli.chat.settings import KNOBS, read_value
from dynamo_cli.errors import DynamoError, UsageError
from dynamo_cli.hub.catalogue import nearest as nearest_model
from dynamo_cli.topology.words import nearest

KEYS = '''\
A line that ends in \\ goes on in the next; """ opens and closes several lines.
Ctrl-C stops an answer and clears a line; twice, or Ctrl-D, it leaves.'''


class Command(NamedTuple):
    """`words` completes the argument; None: it takes none."""

    argument: str
    help: str
    run: Callable[[str], None]
    words: completion.Words | None = None


class Commands:
    """`run` a line that starts with a slash; problems are told as a line of the chat. EOFError: it is over."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._models: list[str] = []
        self._table = {
            "/help": Command("", "these lines", self._help),
            "/reset": Command("", "forget the conversation, not the system message; also /clear", self._reset),
            "/system": Command("TEXT", "set the system message; without TEXT remove it", self._system, _anything),
            "/model": Command("NAME", "use another model; without NAME list them", self._model, self._served),
            "/retry": Command("TEMPERATURE", "answer the last question again", self._retry, _anything),
            "/undo": Command("", "take the last question and its answer back", self._undo),
            "/save": Command("FILE", "write the conversation to a file", self._save, completion.files),
            "/load": Command("FILE", "go on with a saved conversation", self._load, completion.files),
            "/set": Command("NAME VALUE", f"{', '.join(KNOBS)}; VALUE default unsets", self._set, lambda _: KNOBS),
            "/markdown": Command("on|off", "render answers or show them as they are", self._markdown, _on_off),
            "/stats": Command("", "what this chat has cost so far", self._stats),
            "/quit": Command("", "leave; also Ctrl-D", self._quit),
        }
        self._names = {**self._table, "/clear": self._table["/reset"], "/exit": self._table["/quit"]}

    def run(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        command = self._names.get(name)
        try:
            if command is None:
                near = nearest(name[1:], (known[1:] for known in self._names))
                hint = f"did you mean /{near}?" if near else "/help lists what there is"
                raise UsageError(f"there is no {name}; {hint}")
            if argument.strip() and command.words is None:
                raise UsageError(f"{name} takes no argument")
            command.run(argument.strip())
        except DynamoError as error:
            self._session.note(str(error))

    def complete(self, line: str) -> list[str]:
        return completion.complete(line, {name: command.words for name, command in self._names.items()})

    def _help(self, _: str) -> None:
        width = max(len(f"{name} {command.argument}") for name, command in self._table.items())
        for name, command in self._table.items():
            self._session.say(f"{f'{name} {command.argument}':{width}}  {command.help}")
        self._session.say(KEYS)

    def _reset(self, _: str) -> None:
        self._session.conversation.reset()
        self._session.note("forgotten")

    def _system(self, text: str) -> None:
        self._session.conversation.system = text
        self._session.note("system message set" if text else "system message removed")

    def _model(self, name: str) -> None:
        session = self._session
        self._models = session.server.models()
        if not name:
            for model in self._models:
                session.say(f"{'*' if model == session.settings.model else ' '} {model}")
            return
        if name not in self._models:
            near = nearest_model(name, self._models)
            hint = f"did you mean {near}?" if near else f"it serves {', '.join(self._models) or 'none now'}"
            raise UsageError(f"the server has no model {name}; {hint}")
        session.settings = replace(session.settings, model=name)
        session.note(f"the model is {name} from now on")

    def _served(self, _: str) -> list[str]:
        """For Tab: what is served, asked once; nothing when the server does not say."""
        if not self._models:
            try:
                self._models = self._session.server.models()
            except DynamoError:
                return []
        return self._models

    def _retry(self, temperature: str) -> None:
        session = self._session
        settings = session.settings
        if temperature:
            settings = replace(settings, temperature=read_value("temperature", temperature))
        if session.conversation.unanswered:
            session.ask(session.conversation.unanswered, settings)
            return
        last = session.conversation.take_last()
        if last is None:
            raise UsageError("nothing was asked yet")
        try:
            kept = session.ask(last[0], settings)
        except BaseException:
            session.conversation.remember(*last)
            raise
        if not kept:
            session.conversation.remember(*last)

    def _undo(self, _: str) -> None:
        last = self._session.conversation.take_last()
        if last is None:
            raise UsageError("nothing was asked yet")
        self._session.conversation.unanswered = ""
        self._session.note(f"taken back: {_short(last[0])}")

    def _save(self, name: str) -> None:
        messages = self._session.conversation.messages
        if not name:
            raise UsageError("/save wants a FILE")
        save(Path(name), self._session.settings.model, messages)
        self._session.note(f"{_messages(len(messages))} saved to {name}")

    def _load(self, name: str) -> None:
        if not name:
            raise UsageError("/load wants a FILE")
        saved, session = load(Path(name)), self._session
        session.conversation.replace(saved.messages)
        other = f"; they were with {saved.model}" if saved.model != session.settings.model else ""
        session.note(f"{_messages(len(saved.messages))} loaded from {name}{other}")

    def _set(self, argument: str) -> None:
        name, _, value = argument.partition(" ")
        if argument:
            self._session.settings = self._session.settings.with_value(name, value.strip())
        self._session.note(self._session.settings.words())

    def _markdown(self, wanted: str) -> None:
        if wanted not in ("on", "off"):
            raise UsageError("/markdown wants on or off")
        self._session.markdown = wanted == "on"
        self._session.note(f"markdown is {wanted}")

    def _stats(self, _: str) -> None:
        self._session.say(self._session.totals.words())

    def _quit(self, _: str) -> None:
        raise EOFError


def _anything(_: str) -> list[str]:
    return []


def _on_off(_: str) -> list[str]:
    return ["on", "off"]


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


def _short(text: str, limit: int = 50) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
