from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.supervisor.exits import explain
from dynamo_cli.supervisor.oom import OomKills, oom_kills, oom_words


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, "proc/vmstat": "nr_free 3\noom_kill 7\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("0::/user/a\n", "sys/fs/cgroup/user/a/memory.events"),
        ("0::/../of/the/host\n", "sys/fs/cgroup/memory.events"),
        ("4:cpu:/x\n3:memory:/job\n", "sys/fs/cgroup/memory/job/memory.oom_control"),
    ],
)
def test_the_counters_of_both_kinds_of_groups(tmp_path: Path, groups: str, file: str) -> None:
    assert oom_kills(machine(tmp_path, groups, {file: "oom 9\noom_kill 2\n"})) == OomKills(2, 7)


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) == OomKills()
    assert oom_kills().machine >= 0


def test_the_words_of_an_end() -> None:
    before = OomKills(1, 5)
    assert oom_words(before, before) == ""
    assert "control group" in oom_words(before, OomKills(2, 6))
    words = oom_words(before, OomKills(1, 6))
    assert explain(-9, "last", words) == "killed by SIGKILL: out of memory: this machine had none left"
    assert explain(-15, "", words) == "killed by SIGTERM"
    assert explain(1, "cannot allocate", words) == "exited with code 1: cannot allocate"
