from __future__ import annotations

import threading
import time

import pytest

from dynamo_cli.doctor import children, examine
from dynamo_cli.doctor.check import Check, Question, counted, ok, size
from dynamo_cli.doctor.guard import HOME_FIX, answers
from dynamo_cli.doctor.machine import Asked, Machine
from tests.doctor.judged import judge


def raising(failure: BaseException) -> Question:
    def answer() -> Check:
        raise failure

    return Question("thing", answer)


def test_a_check_that_raises_is_an_error_of_its_name() -> None:
    (check,) = answers(raising(ValueError("two\nlines")), 5)
    assert check == Check("thing", "error", "could not be checked: two lines")
    (check,) = answers(raising(KeyError()), 5)
    assert check.detail == "could not be checked: KeyError"
    (check,) = answers(raising(RuntimeError("Could not determine home directory.")), 5)
    assert check.fix == HOME_FIX


def test_a_check_that_hangs_is_given_up() -> None:
    never = threading.Event()
    (check,) = answers(Question("thing", lambda: ok("thing", str(never.wait(30)))), 0.05)
    assert check.detail == "could not be checked: no answer within 0.05 s"
    never.set()


def test_secrets_and_what_a_terminal_obeys_are_covered() -> None:
    told = Check("thing", "warn", "http://me:hunter2@proxy \x1b[2J\n", "export HF_TOKEN=hf_abcdefghijkl")
    (check,) = answers(Question("thing", lambda: told), 5)
    assert (check.detail, check.fix) == ("http://me:***@proxy \\u001b[2J\\u000a", "export HF_TOKEN=***")


def test_a_group_that_cannot_even_be_asked_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "GROUPS", ("no_such_group", "system"))
    first, second = examine.examine(Machine(Asked()))
    judge_error = first.checks[0]
    assert (judge_error.name, judge_error.status) == ("no_such_group", "error")
    assert [check.name for check in second.checks] == ["os", "architecture", "cpu", "virtualization"]


@pytest.mark.parametrize(
    ("asked", "left_out"),
    [
        (Asked(), {"topology"}),
        (Asked(topology="x.toml"), set()),
        (Asked(gpus=False), {"gpus", "topology"}),
        (Asked(engines=False), {"engines", "topology"}),
    ],
)
def test_groups(asked: Asked, left_out: set[str]) -> None:
    assert set(examine.GROUPS) - set(examine.groups(asked)) == left_out


def test_groups_of_the_runtime_alone() -> None:
    assert examine.groups(Asked(runtime_only=True)) == ["python", "engines", "planes"]
    assert examine.groups(Asked(runtime_only=True, engines=False, topology="x")) == ["python", "planes", "topology"]


def test_children_end_in_time_or_are_ended() -> None:
    assert children.run(["sh", "-c", "echo out; echo err >&2; exit 3"], 10) == (3, b"out\n", "err\n")
    began = time.monotonic()
    assert children.run(["sleep", "60"], 0.1).code is None
    assert time.monotonic() - began < 10


def test_an_interrupted_examination_leaves_no_child() -> None:
    ended: list[children.Ended] = []
    thread = threading.Thread(target=lambda: ended.append(children.run(["sleep", "60"], 30)))
    thread.start()
    while not children._living:
        time.sleep(0.01)
    children.end_all()
    thread.join(10)
    assert ended and ended[0].code == -9


def test_words() -> None:
    assert [size(n) for n in (5, 2048, 812 * 2**20, 2 * 2**30, 112 * 2**30)] == [
        "5 bytes",
        "2 KiB",
        "812 MiB",
        "2.0 GiB",
        "112 GiB",
    ]
    assert [counted(1, "process"), counted(2, "process"), counted(0, "GPU")] == ["1 process", "2 processes", "0 GPUs"]
    judge(ok("a", "b"), "ok", "b")
