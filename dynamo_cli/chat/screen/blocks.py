"""Markdown in the making: which of its blocks are finished, and how a block looks in a terminal."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TextIO

from markdown_it import MarkdownIt
from rich.console import Console
from rich.markdown import CodeBlock, Heading, Markdown
from rich.padding import Padding
from rich.syntax import Syntax
from rich.theme import Theme

from dynamo_cli.chat.screen.display import unstyled

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderResult

THEME = Theme(
    {
        "markdown.code": "cyan",
        "markdown.h1": "bold underline",
        "markdown.h2": "bold underline",
        "markdown.h3": "bold",
        "markdown.item.bullet": "bold",
        "markdown.item.number": "bold",
        "markdown.hr": "dim",
    }
)
CODE_THEME = "ansi_dark"
CODE_INDENT = 4

_parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable("image")


class Blocks(NamedTuple):
    """`finished` stay as they are whatever is said next; `growing` is the rest."""

    finished: list[str]
    growing: str


def split(text: str) -> Blocks:
    """Only whole lines decide, because what a line is may change until its end."""
    whole = text.rfind("\n") + 1
    starts = [token.map[0] for token in _parser.parse(text[:whole]) if token.level == 0 and token.map]
    starts = sorted(set(starts))[1:]
    lines = [line + "\n" for line in text[:whole].split("\n")[:-1]]
    cuts = [0, *starts]
    finished = ["".join(lines[begin:end]) for begin, end in pairwise(cuts)]
    return Blocks(finished, "".join(lines[cuts[-1] :]) + text[whole:])


class _Code(CodeBlock):
    """Indented and without a background, so that it can be copied and is readable on light and dark."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip()
        syntax = Syntax(code, self.lexer_name, theme=self.theme, word_wrap=True, background_color="default")
        yield Padding(syntax, (0, 0, 0, CODE_INDENT))


class _Heading(Heading):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self.text.copy()
        text.justify = "left"
        yield text


class _Markdown(Markdown):
    elements: ClassVar = {**Markdown.elements, "fence": _Code, "code_block": _Code, "heading_open": _Heading}

    def __init__(self, text: str) -> None:
        super().__init__(text, code_theme=CODE_THEME, hyperlinks=False)
        self.parsed = _parser.parse(text)  # rich drops HTML, and puts images before their line


class Renderer:
    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, force_terminal=True, theme=THEME, highlight=False)

    def lines(self, block: str, width: int) -> list[str]:
        """The lines of a block in at most `width` columns, with their colours."""
        self._console.width = width
        with self._console.capture() as captured:
            self._console.print(_Markdown(block))
        lines = [line.rstrip() for line in captured.get().split("\n")]
        full = [number for number, line in enumerate(lines) if unstyled(line).strip()]
        return lines[full[0] : full[-1] + 1] if full else []
