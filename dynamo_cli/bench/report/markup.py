"""Pieces of HTML. Every text given to them is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from dynamo_cli.bench.report.svg import Chart


def card(title: str, words: str, inner: str, aside: str = "") -> str:
    text = f"<p>{escape(words)}</p>" if words else ""
    return f'<div class="card"><div class="head"><h3>{escape(title)}</h3>{aside}</div>{text}{inner}</div>'


def chart_card(title: str, words: str, chart: Chart | None) -> str:
    """Nothing for a chart that there is no data for."""
    return "" if chart is None else card(title, words, chart.svg())


def grid(kind: str, cards: Iterable[str]) -> str:
    inner = "".join(cards)
    return f'<div class="grid {kind}">{inner}</div>' if inner else ""


def section(title: str, *parts: str) -> str:
    inner = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{inner}</section>" if inner else ""


def tile(name: str, value: str, unit: str, below: str, alarming: bool = False) -> str:
    kind = "tile bad" if alarming else "tile"
    return (
        f'<div class="{kind}"><span>{escape(name)}</span><b>{escape(value)}<small>{escape(unit)}</small></b>'
        f"<span>{escape(below)}</span></div>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, marked: str | None = None) -> str:
    """The first cell of a row is its heading; the row of that name is `marked`."""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = "".join(_row(row, row[0] == marked) for row in rows)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table>"


def _row(row: Sequence[str], marked: bool) -> str:
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
    return f'<tr{" class=found" if marked else ""}><th scope="row">{escape(row[0])}</th>{cells}</tr>'


def facts(values: Mapping[str, Any]) -> str:
    """Names and values; what is empty, off or without effect (0.0) is left out."""
    shown = {name: value for name, value in values.items() if value or (value == 0 and type(value) is int)}
    rows = (f'<tr><th scope="row">{escape(str(n))}</th><td>{escape(_plain(v))}</td></tr>' for n, v in shown.items())
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_plain(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def legend(items: Iterable[tuple[str, str]]) -> str:
    """(class, text) each."""
    parts = (f'<span><i class="{kind}"></i>{escape(text)}</span>' for kind, text in items)
    return f'<div class="legend">{"".join(parts)}</div>'


def remarks(warnings: Iterable[str], plain: Iterable[str]) -> str:
    lines = [f"<li>{escape(line)}</li>" for line in warnings]
    lines += [f'<li class="plain">{escape(line)}</li>' for line in plain]
    return f'<ul class="remarks">{"".join(lines)}</ul>' if lines else ""
