"""Wrong uses, one row each: what is typed, the one line on stderr, and the exit code."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.dynamo import TOPOLOGIES, Dynamo

pytestmark = pytest.mark.slow


class Wrong(NamedTuple):
    """`typed` is split at blanks. `line` may end in "…": what follows depends on the machine.

    {closed} is a port nobody listens on, {busy} one that somebody does.
    """

    typed: str
    code: int
    line: str


MISTYPED = [
    Wrong("upp", 2, "dynamo: there is no command upp; did you mean `dynamo up`?"),
    Wrong("frobnicate", 2, "dynamo: there is no command frobnicate; `dynamo --help` lists them"),
    Wrong("up", 2, "dynamo: missing argument 'FILE'; try dynamo up --help"),
    Wrong("status --jsn", 2, "dynamo: no such option --jsn; did you mean --json?"),
    Wrong("chat --modle x", 2, "dynamo: no such option --modle; did you mean --model?"),
    Wrong("chat hi --file nowhere", 2, "dynamo: --file nowhere: no such file or directory"),
    Wrong("chat hi --load echo.toml", 2, "dynamo: echo.toml: is not valid JSON: …"),
    Wrong("chat hi --top-p 2", 2, "dynamo: --top-p 2.0: expected a number above 0, at most 1"),
    Wrong("bench -c 0", 2, "dynamo: invalid value for '--concurrency' / '-c'…"),
    Wrong("up echo.toml --timeout x", 2, "dynamo: invalid value for '--timeout'…"),
    Wrong("up echo.toml -d --timeout -1", 2, "dynamo: invalid value for '--timeout'…"),
    Wrong("down --timeout -1", 2, "dynamo: invalid value for '--timeout'…"),
    Wrong("frontend --http-port x", 2, "dynamo: --http-port: invalid int value: 'x'; try dynamo frontend --help"),
    Wrong("frontend --http-port 99999", 2, "dynamo: --http-port 99999: ports are 0 to 65535"),
    Wrong("frontend --router-mode fast", 2, "dynamo: unknown router mode 'fast'; use one of round-robin, random…"),
    Wrong("frontend --migration-limit x", 2, "dynamo: --migration-limit 'x' is no whole number"),
    Wrong("frontend --migration-limit=-1", 2, "dynamo: --migration-limit -1 must be at least 0"),
    Wrong("frontend --migration-max-seq-len 0", 2, "dynamo: --migration-max-seq-len 0 must be at least 1"),
    Wrong("worker --engine nope", 2, "dynamo: unknown engine 'nope'; there are llamacpp, vllm, mock, echo, custom"),
    Wrong("worker --engine mock --options {x", 2, "dynamo: --options: not valid JSON…"),
    Wrong("doctor --jsn", 2, "dynamo: no such option --jsn; did you mean --json?"),
    Wrong("doctor a.toml b.toml", 2, "dynamo: got unexpected extra argument…"),
    Wrong("completions tcsh", 2, "dynamo: there are no completions for tcsh; choose one of bash, zsh, fish"),
    Wrong(
        "completions", 2, "dynamo: completions: give a SHELL (bash, zsh or fish) to print its script, or install or…"
    ),
    Wrong("completions install tcsh", 2, "dynamo: there are no completions for tcsh; choose one of bash, zsh, fish"),
    Wrong("completions install fish --path /dev/null/x", 4, "dynamo: /dev/null/x: cannot be read: Not a directory"),
    Wrong("bench --url ftp://x", 2, "dynamo: --url ftp://x: expected http://HOST:PORT"),
    Wrong("bench --pid x", 2, "dynamo: --pid x: expected NAME=PID"),
    Wrong("bench --rate 5 -c 3", 2, "dynamo: -c does not go with --rate; --max-concurrency limits an open loop"),
    Wrong("bench --find-max-rate", 2, "dynamo: --find-max-rate needs --slo, such as --slo ttft=200ms,itl=20ms"),
    Wrong("bench --trace x.jsonl", 2, "dynamo: x.jsonl: No such file or directory"),
    Wrong("replay x.jsonl", 2, "dynamo: x.jsonl: No such file or directory"),
    Wrong("replay", 2, "dynamo: missing argument 'TRACE'; try dynamo replay --help"),
    Wrong("bench --sweep 1,two", 2, "dynamo: --sweep 1,two: expected concurrencies such as 1,2,4,8, or auto"),
    Wrong("bench --compare x y", 2, "dynamo: cannot read x: No such file or directory; expected a directory of…"),
]
TOPOLOGY = [
    Wrong("up x.toml", 2, "x.toml: no such file"),
    Wrong("plan x.toml", 2, "x.toml: no such file"),
    Wrong("up .", 2, ".: is a directory, not a topology file; it holds broken.toml, echo.toml, typo.toml"),
    Wrong("up broken.toml", 2, "broken.toml:1: not valid TOML: …"),
    Wrong("plan typo.toml", 2, "typo.toml:3: frontend.prot: unknown key; did you mean port"),
    Wrong("up echo.toml --set nonsense", 2, "--set nonsense: has no value; write nonsense=VALUE"),
    Wrong(
        "up echo.toml --set workers.decode.replica=2",
        2,
        "--set workers.decode.replica: unknown key; did you mean replicas",
    ),
    Wrong("up echo.toml --set frontend.port=99999", 2, "--set frontend.port: must be between 0 and 65535, found 99999"),
    Wrong("up echo.toml --set frontend.port=abc", 2, '--set frontend.port: expected a whole number, found text "abc"'),
    Wrong(
        "up echo.toml --set workers.decode.replicas=-1",
        2,
        "--set workers.decode.replicas: must be between 0 and 1000, found -1",
    ),
    Wrong("up echo.toml --set workers.decode.engine=vlm", 2, '--set workers.decode.engine: unknown engine "vlm"…'),
    Wrong(
        "up echo.toml --set router.mode=leastloaded",
        2,
        '--set router.mode: unknown router mode "leastloaded"; did you mean least-loaded',
    ),
    Wrong('up echo.toml --set workers.decode.depends_on=["decod"]', 2, "--set workers.decode.depends_on…"),
]
NOT_THERE = [
    Wrong("status", 3, "dynamo: no deployment is running; start one with `dynamo up FILE`"),
    Wrong("logs", 3, "dynamo: no deployment is running; start one with `dynamo up FILE`"),
    Wrong("status nope", 3, "dynamo: deployment nope is not running"),
    Wrong("down nope", 3, "dynamo: deployment nope is not running"),
    Wrong("down X", 2, "dynamo: deployment name 'X' is not valid: use at most 40 lower-case letters, digits, - and _…"),
    Wrong(
        "chat --url http://127.0.0.1:{closed} hi",
        3,
        "dynamo: nothing listens on http://127.0.0.1:{closed}; start a deployment with …",
    ),
    Wrong("bench --url http://127.0.0.1:{closed}", 3, "dynamo: nothing listens on http://127.0.0.1:{closed}; start…"),
    Wrong("up echo.toml --set frontend.port={busy}", 4, "dynamo: port {busy} is in use by pid …"),
    Wrong("frontend --http-port {busy}", 4, "dynamo: port {busy} is in use by pid …"),
    Wrong("up echo.toml --set workers.decode.gpus=99", 4, "dynamo: pool decode wants 99 GPUs, found …"),
    Wrong("pull nobody/nothing", 5, "dynamo: model nobody/nothing: …"),
    Wrong("worker --engine llamacpp --model-path /nowhere.gguf", 5, "dynamo: model /nowhere.gguf: …"),
]
WRONG_USES = [*MISTYPED, *TOPOLOGY, *NOT_THERE]


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as busy, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield {"busy": busy.getsockname()[1], "closed": closed.getsockname()[1]}


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "broken.toml").write_text('name = "x\n')
    (tmp_path / "typo.toml").write_text('name = "x"\n[frontend]\nprot = 0\n[workers.decode]\nengine = "echo"\n')
    shutil.copy(TOPOLOGIES / "echo.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("wrong", WRONG_USES, ids=lambda wrong: wrong.typed)
def test_one_line_and_the_exit_code(wrong: Wrong, dynamo: Dynamo, ports: dict[str, int]) -> None:
    def filled(text: str) -> str:
        return text.replace("{closed}", str(ports["closed"])).replace("{busy}", str(ports["busy"]))

    result = dynamo.run(*filled(wrong.typed).split())
    assert (result.code, result.out) == (wrong.code, ""), result
    [line] = result.err.splitlines()
    start, more, _ = filled(wrong.line).partition("…")
    assert line.startswith(start) if more else line == start
    assert len(line) > len(start) or not more
