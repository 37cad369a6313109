"""`dynamo chat` as a process."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from tests.bench.server import serving

CHAT = [sys.executable, "-m", "dynamo_cli", "chat"]


def chat(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CHAT, *args], input=stdin, capture_output=True, text=True, timeout=60)


def test_one_question_prints_only_the_answer() -> None:
    with serving() as server:
        done = chat("hello", "--url", server.url, "--max-tokens", "2", "--temperature", "0", "--system", "be kind")
        body = server.bodies[0]
    assert (done.returncode, done.stdout, done.stderr) == (0, " w0 w1\n", "")
    assert body["messages"] == [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]
    assert (body["max_tokens"], body["temperature"], body["stream"]) == (2, 0.0, True)


def test_piped_text_is_appended_to_the_question() -> None:
    with serving() as server:
        chat("summarise", "--url", server.url, stdin="a long text\n")
        assert server.bodies[0]["messages"][0]["content"] == "summarise\n\na long text"


def test_lines_from_a_pipe_are_a_conversation() -> None:
    with serving() as server:
        done = chat("--url", server.url, "--max-tokens", "1", stdin="one\n/help\ntwo\n")
        assert [len(body["messages"]) for body in server.bodies] == [1, 3]
    assert done.returncode == 0
    assert "/system TEXT" in done.stdout


@pytest.mark.parametrize("locale", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
@pytest.mark.parametrize("question", [["日本"], []])
def test_any_bytes_in_any_locale(locale: dict[str, str], question: list[str]) -> None:
    environ = {**os.environ, "PYTHONCOERCECLOCALE": "0", **locale}
    with serving() as server:
        command = [*CHAT, *question, "--url", server.url, "--max-tokens", "1"]
        done = subprocess.run(command, input="é\n".encode() + b"\xff\n", capture_output=True, timeout=60, env=environ)
        contents = [body["messages"][-1]["content"] for body in server.bodies]
    assert (done.returncode, done.stderr) == (0, b"")
    assert contents == (["日本\n\né\n\N{REPLACEMENT CHARACTER}"] if question else ["é", "\N{REPLACEMENT CHARACTER}"])


@pytest.mark.parametrize(
    ("model", "code", "line"),
    [("http-503", 3, "503: not now"), ("http-500", 1, "500: not now"), ("cut", 1, "broke off")],
)
def test_a_failed_answer_is_one_line(model: str, code: int, line: str) -> None:
    with serving(model) as server:
        done = chat("hello", "--url", server.url)
    assert done.returncode == code
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def test_nothing_listens() -> None:
    done = chat("hello", "--url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing listens on http://127.0.0.1:1" in done.stderr


def test_ctrl_c_during_one_answer_is_130() -> None:
    with serving("slow") as server:
        command = [*CHAT, "hello", "--url", server.url, "--max-tokens", "100000"]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.read(3) == b" w0"
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=10)
        assert server.hung_up.wait(5)
    assert process.returncode == 130
    assert b"Traceback" not in stderr


class Terminal:
    """A chat in a pseudo-terminal: what a person types and sees."""

    def __init__(self, *args: str) -> None:
        self._main, end = pty.openpty()
        self.process = subprocess.Popen([*CHAT, *args], stdin=end, stdout=end, stderr=end, start_new_session=True)
        os.close(end)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def wait_for(self, text: str, timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.seen:
            assert select.select([self._main], [], [], deadline - time.monotonic())[0], self.seen
            self.seen += os.read(self._main, 65536).decode()
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def close(self) -> int:
        code = self.process.wait(20)
        os.close(self._main)
        return code


def test_a_conversation_in_a_terminal() -> None:
    with serving("slow") as server:
        terminal = Terminal("--url", server.url, "--max-tokens", "500")
        terminal.wait_for("> ")
        terminal.type("hello\n")
        terminal.wait_for("w2")
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for("[stopped; TTFT ")
        terminal.wait_for("> ")
        terminal.type("/nope\n")
        terminal.wait_for("there is no /nope")
        terminal.wait_for("> ")
        terminal.type("\x04")
        assert terminal.close() == 0


def test_figures_go_to_a_terminal_of_one_question() -> None:
    with serving() as server:
        terminal = Terminal("hello", "--url", server.url, "--max-tokens", "2")
        terminal.type("\x04")
        terminal.wait_for("w1")
        terminal.wait_for("[TTFT ")
        assert terminal.close() == 0
