"""A question with a few answers, in the middle of the screen."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from dynamo_cli.tui.look import ACCENT, QUIET


class Choice(NamedTuple):
    """`key` answers at once. The screen's result is `answer`."""

    key: str
    answer: str
    words: str


class Ask(ModalScreen[str]):
    """Its result is the answer, "" when it was cancelled. The first choice is the one Enter takes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "Cancel")]

    def __init__(self, question: str, choices: list[Choice], hurried: str = "") -> None:
        """`hurried`: the answer that Ctrl-C is."""
        super().__init__()
        self._question = question
        self._choices = [*choices, Choice("escape", "", "Cancel")]
        self._hurried = hurried

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._question), classes="question")
            yield OptionList(*(Option(_prompt(choice), id=choice.answer or "cancel") for choice in self._choices))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss("" if event.option_id == "cancel" else str(event.option_id))

    def on_key(self, event: events.Key) -> None:
        for choice in self._choices:
            if event.key == choice.key:
                event.stop()
                self.dismiss(choice.answer)

    def action_hurry(self) -> None:
        """Ctrl-C, which the app hears first."""
        self.dismiss(self._hurried)


class AskNumber(ModalScreen[int]):
    """Its result is a whole number, -1 when it was cancelled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(-1)", "Cancel"),
        Binding("up,plus", "step(1)", show=False, priority=True),
        Binding("down,minus", "step(-1)", show=False, priority=True),
    ]

    def __init__(self, question: str, value: int) -> None:
        super().__init__()
        self._question = question
        self._value = value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._question), classes="question")
            yield Input(str(max(0, self._value)), type="integer", max_length=3, compact=True)
            yield Static(Content.styled("↑ ↓ change it, Enter does it, Esc cancels", QUIET))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value.isdecimal():
            self.dismiss(int(event.value))

    def action_hurry(self) -> None:
        self.dismiss(-1)

    def action_step(self, step: int) -> None:
        entry = self.query_one(Input)
        entry.value = str(max(0, int(entry.value) + step)) if entry.value.isdecimal() else "0"


def _prompt(choice: Choice) -> Content:
    key = {"escape": "esc"}.get(choice.key, choice.key)
    return Content.assemble((f" {key:>3} ", f"bold {ACCENT}"), (f" {choice.words} ", ""))
