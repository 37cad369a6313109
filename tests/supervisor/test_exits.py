from __future__ import annotations

import pytest

from dynamo_cli.supervisor.exits import exit_class, explain


@pytest.mark.parametrize(
    ("code", "line", "words"),
    [
        (-9, "whatever it said", "killed by SIGKILL"),
        (-15, "", "killed by SIGTERM"),
        (-63, "", "killed by signal 63"),
        (3, "cannot load model", "exited with code 3: cannot load model"),
        (3, "", "exited with code 3"),
        (0, "bye", "exited with code 0"),
    ],
)
def test_explain(code: int, line: str, words: str) -> None:
    assert explain(code, line) == words


@pytest.mark.parametrize(("code", "of_command"), [(5, 5), (4, 4), (2, 2), (3, 1), (1, 1), (-9, 1), (None, 1)])
def test_exit_class(code: int | None, of_command: int) -> None:
    assert exit_class(code) == of_command
