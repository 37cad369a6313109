"""Names of a deployment that runs, in real shells."""

from __future__ import annotations

import pytest

from tests.completions.shells import SHELLS, after_tab, offers
from tests.integration.dynamo import TOPOLOGIES, Dynamo

pytestmark = pytest.mark.slow

LINES = {
    "dynamo restart ": {"decode", "decode-0", "decode-1", "frontend", "frontend-0"},
    "dynamo stop decode-0 decode": {"decode", "decode-1"},
    "dynamo start -d echo fro": {"frontend", "frontend-0"},
    "dynamo logs --deployment=echo su": {"supervisor"},
    "dynamo restart --deployment ": {"echo"},
    "dynamo scale ": {"decode=", "frontend="},
    "dynamo scale decode=3 ": {"frontend="},
    "dynamo status ": {"echo"},
    "dynamo down ": {"echo"},
    "dynamo chat --model ": {"echo"},
    "dynamo bench --model=": {"echo"},
}


@pytest.mark.parametrize("shell", SHELLS)
def test_names_of_what_runs(shell: str, dynamo: Dynamo) -> None:
    sets = ["--set", "frontend.port=0", "--set", "workers.decode.replicas=2"]
    assert dynamo.run("up", "-d", str(TOPOLOGIES / "echo.toml"), *sets).code == 0
    found = {line: {word.removeprefix("--model=") for word in offers(shell, line)} for line in LINES}
    assert found == LINES
    assert after_tab(shell, "dynamo scale dec") == "dynamo scale decode=@"
    assert after_tab(shell, "dynamo status ec") == "dynamo status echo @"
