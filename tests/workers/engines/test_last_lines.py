from __future__ import annotations

import subprocess
import sys

import pytest

from dynamo_cli.workers.engines.last_lines import LastLines, how_it_ended


@pytest.mark.parametrize(
    ("code", "lines", "words"),
    [
        (0, [], "toy exited with code 0"),
        (3, ["one", "two"], "toy exited with code 3; it wrote last: one | two"),
        (-6, ["assertion failed"], "toy was ended by SIGABRT; it wrote last: assertion failed"),
        (-9, ["harmless"], "toy was ended by SIGKILL"),
        (-250, [], "toy was ended by signal 250"),
    ],
)
def test_an_end_in_words(code: int, lines: list[str], words: str) -> None:
    assert how_it_ended("toy", code, lines) == words


def test_what_a_process_writes_goes_on_to_stderr_and_its_end_is_kept(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = LastLines()
    code = "import sys\nfor n in range(5): print('line', n, file=sys.stderr)\nsys.stderr.write('\\n  the end')"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=lines.writing)
    lines.started()
    process.wait()
    assert lines.ended() == ["line 3", "line 4", "the end"]
    assert b"line 0\nline 1\n" in capfdbinary.readouterr().err


def test_a_process_that_never_started_wrote_nothing() -> None:
    assert LastLines().ended() == []
