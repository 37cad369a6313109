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
    ours = {one.name for one in FAMILIES if (f"{PREFIX}{one.name}" if one.prefixed else one.name) not in REFERENCE}
    assert ours == set(OURS_ALONE)


def test_only_what_processes_and_routers_have_begins_without_the_prefix() -> None:
    plain = {family.name for family in FAMILIES if not family.prefixed}
    assert {name for name in OURS_ALONE if name.startswith(("process_", "dynamo_"))} <= plain
    assert all(name.startswith(("process_", "dynamo_component_")) for name in plain)
