"""One question, one answer: for a pipe only the answer, or JSON."""

from __future__ import annotations

import sys
from contextlib import closing
from shutil import get_terminal_size

import msgspec

from dynamo_cli.chat.answer import Answer
from dynamo_cli.chat.screen.display import open_display
from dynamo_cli.errors import DynamoError


def print_answer(answer: Answer, markdown: bool) -> None:
    """The answer on stdout as it comes, its figures on stderr if that is a terminal. Raises as Answer.stream."""
    terminal = sys.stdout.isatty()
    display = open_display(sys.stdout, markdown)
    try:
        with closing(answer.stream()) as pieces:
            for piece in pieces:
                if terminal or piece.kind == "answer":
                    display.show(piece)
    finally:
        display.close()
    if sys.stderr.isatty():
        room = get_terminal_size().columns - len("[]")
        sys.stderr.write(f"[{answer.figures.words(max(1, room))}]\n")


def print_json(answer: Answer) -> None:
    """One JSON object on stdout, with the error if the answer broke off after some text. Raises as Answer.stream."""
    problem: DynamoError | None = None
    try:
        with closing(answer.stream()) as pieces:
            for _ in pieces:
                pass
    except DynamoError as error:
        problem = error
    if problem is None or answer.text:
        _print_object(answer, problem)
    if problem is not None:
        raise problem


def _print_object(answer: Answer, problem: DynamoError | None) -> None:
    figures = answer.figures
    rate = figures.tokens_per_s
    told = {
        "answer": answer.text,
        "reasoning": answer.reasoning or None,
        "usage": answer.usage,
        "ttft_ms": round(figures.ttft_s * 1e3, 3) if figures.chunks else None,
        "tokens_per_s": round(rate, 3) if rate else None,
        "worker": figures.worker or None,
        "finish_reason": figures.finish_reason,
        **({"error": str(problem)} if problem else {}),
    }
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    sys.stdout.flush()
