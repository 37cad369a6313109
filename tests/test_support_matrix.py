"""docs/support.md is what engines declare and tests check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dynamo_cli.workers.engines.registry import LATER, SPECS
from tests import support_matrix
from tests.support_matrix import DECLARED, ROWS, TESTS, Row, Subject, cell, functions_in, page, subjects
from tests.workers.engines.cases import CASES

PAGE = Path(__file__).parents[1] / "docs" / "support.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == page(), "run `make support`"


@pytest.mark.parametrize("test", sorted(set(support_matrix.tests())))
def test_what_a_cell_rests_on_exists(test: str) -> None:
    file, _, name = test.partition("::")
    assert (TESTS / file).is_file()
    assert not name or name in functions_in(TESTS / file)


def test_what_is_recorded_is_of_cases_that_there_are() -> None:
    assert json.loads(DECLARED.read_text()).keys() <= {str(case) for case in CASES}


def test_a_test_of_one_engine_is_of_one_that_declares_it() -> None:
    by_name = {subject.spec.name: subject for subject in subjects()}
    for row in (row for rows in ROWS.values() for row in rows):
        for name in {**row.ran, **row.fake}:
            assert row.can(by_name[name]), f"{row.what}: {name}"


def test_the_four_kinds_of_cells() -> None:
    llamacpp = next(subject for subject in subjects() if subject.spec.name == "llamacpp")
    never_ran = Subject(llamacpp.spec, llamacpp.cases, ())
    of_all = Row("x", lambda _: True, "contract")
    assert cell(of_all, llamacpp) == "ran" and cell(of_all, never_ran) == "not run"
    assert cell(Row("x", lambda _: False, "contract"), llamacpp) == "–"
    assert cell(Row("x", lambda _: True, fake={"llamacpp": "t"}), llamacpp) == "fake"
    assert cell(Row("x", lambda _: True, ran={"vllm": "t"}), llamacpp) == "not run"


def test_every_engine_has_a_column() -> None:
    assert all(f"| {name} |" in PAGE.read_text() for name in (*SPECS, *LATER))
