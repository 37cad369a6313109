"""How to ask what is ready: a request to paste, the same in Python, and what to try next."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.supervisor.banner import banner, curl, snippet


class UsePage(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,u,enter,space", "dismiss", "Close", priority=True),
        Binding("c", "copy_request", "Copy the request"),
        Binding("p", "copy_program", "Copy the program"),
    ]

    def __init__(self, status: DeploymentStatus) -> None:
        super().__init__()
        self._status = status

    def compose(self) -> ComposeResult:
        copied = "\n\nc copies the request, p the program" if self._status.models else ""
        with VerticalScroll(classes="dialog wide"):
            yield Static(banner(self._status) + copied, markup=False)

    def action_copy_request(self) -> None:
        self._copy(curl(self._status) if self._status.models else "", "the request")

    def action_copy_program(self) -> None:
        self._copy("\n".join(snippet(self._status)) if self._status.models else "", "the program")

    def _copy(self, text: str, what: str) -> None:
        if text:
            self.app.copy_to_clipboard(text)
            self.notify(f"copied {what}", markup=False)
