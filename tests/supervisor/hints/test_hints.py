"""Well-known failures give their hint, and nothing else gives one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dynamo_cli.supervisor.hints.find import RULES, hint_of
from dynamo_cli.supervisor.hints.page import page, table
from dynamo_cli.supervisor.hints.rule import Failed, Rule
from dynamo_cli.supervisor.phases.tables import family
from tests.supervisor.hints.excerpts import EXCERPTS, HARMLESS, TORCH_OOM, Excerpt


@pytest.mark.parametrize("excerpt", EXCERPTS, ids=lambda excerpt: excerpt.name)
def test_excerpts(excerpt: Excerpt) -> None:
    failed = Failed(family(excerpt.engine, excerpt.argv), excerpt.argv, excerpt.text.splitlines())
    hint = str(hint_of(failed, excerpt.code))
    assert all(words in hint for words in excerpt.says), hint
    assert len(hint) < 250 and "\n" not in hint


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_knows_its_example_and_no_other_one_takes_it(rule: Rule) -> None:
    match = rule.pattern.search(rule.example)
    assert match
    assert hint_of(Failed(rule.family, (), [rule.example]), 1) == rule.advise(match, Failed(rule.family))


@pytest.mark.parametrize("line", HARMLESS.splitlines())
@pytest.mark.parametrize("code", [1, -6, -11])
def test_harmless_lines_give_none(line: str, code: int) -> None:
    assert hint_of(Failed("vllm", (), [line]), code) is None


def test_nothing_it_wrote_explains_why_somebody_ended_it() -> None:
    failed = Failed("vllm", (), TORCH_OOM.splitlines())
    assert hint_of(failed, -9) is None
    assert hint_of(failed, -15) is None
    assert hint_of(failed, -9, condemned=True)


def test_killed_for_memory() -> None:
    advice = hint_of(Failed("vllm", (), ["an ordinary line"]), -9, oom=True)
    assert advice and "memory ran out" in advice.what


def test_a_line_of_any_length_is_looked_at_quickly() -> None:
    assert hint_of(Failed("vllm", (), ["max seq len (1) " + "CUDA out of memory " * 100_000] * 200), 1) is None


def test_names_are_unique() -> None:
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))


def test_the_page_has_a_row_of_three_cells_for_each() -> None:
    rows = table().splitlines()[2:]
    assert len(rows) == len(RULES)
    assert all(len(re.split(r"(?<!\\)\|", row)) == 5 for row in rows)


def test_the_page_is_fresh() -> None:
    file = Path(__file__).parents[3] / "docs" / "troubleshooting.md"
    assert file.read_text() == page(), "run `make troubleshooting`"
