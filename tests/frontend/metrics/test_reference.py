from __future__ import annotations

import pytest

from dynamo_cli.frontend.metrics.families import BY_NAME, FAMILIES
from tests.frontend.metrics.reference import OURS_ALONE, REFERENCE, Told, Untold

PREFIX = "dynamo_frontend_"


@pytest.mark.parametrize("name", REFERENCE)
def test_a_name_of_the_reference_means_the_same_here_or_is_not_there(name: str) -> None:
    expected, ours = REFERENCE[name], BY_NAME.get(name.removeprefix(PREFIX))
    if isinstance(expected, Untold):
        assert ours is None
        assert expected.because
        return
    assert isinstance(expected, Told)
    assert ours is not None, "it is not told"
    assert (ours.kind, set(ours.labels)) == (expected.kind, {*expected.labels, *expected.more})


def test_what_the_reference_does_not_have_is_named_so() -> None:
    ours = {family.name for family in FAMILIES if f"{PREFIX}{family.name}" not in REFERENCE}
    assert ours == set(OURS_ALONE)


def test_only_what_a_process_has_begins_without_the_prefix() -> None:
    assert {family.name for family in FAMILIES if not family.prefixed} == {
        name for name in OURS_ALONE if name.startswith("process_")
    }
