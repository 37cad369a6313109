"""`dynamo chat` as a process: one question, or a conversation in a terminal."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.bench.server import serving
from tests.chat.server import MODEL, Said, chatting
from tests.chat.terminal import CHAT, Terminal


def chat(*args: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **environ}
    return subprocess.run([*CHAT, *args], input=stdin, capture_output=True, text=True, timeout=60, env=environment)


def test_one_question_prints_only_the_answer() -> None:
    sampling = ("--max-tokens", "2", "--temperature", "0", "--top-p", "0.5", "--seed", "7")
    with serving() as server:
        done = chat("hello", "--url", server.url, *sampling, "--system", "be kind")
        body = server.bodies[0]
    assert (done.returncode, done.stdout, done.stderr) == (0, " w0 w1\n", "")
    assert body["messages"] == [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["seed"]) == (2, 0.0, 0.5, 7)


@pytest.mark.parametrize("arguments", [["summarise"], ["summarise", "--file", "{a}", "--file", "{b}"]])
def test_piped_text_and_files_are_appended_to_the_question(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text of a\n")
    (tmp_path / "b.txt").write_text("text of b\n")
    named = [argument.format(a=tmp_path / "a.txt", b=tmp_path / "b.txt") for argument in arguments]
    with chatting() as server:
        done = chat(*named, "--url", server.url, stdin="a long text\n")
        assert done.stdout == "hello\n"
        asked = server.sent[0][0][1]
    files = "\n\na.txt:\n\ntext of a\n\nb.txt:\n\ntext of b" if len(arguments) > 1 else ""
    assert asked == f"summarise\n\na long text{files}"


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_piped_text_alone_is_the_question(arguments: list[str]) -> None:
    with chatting() as server:
        assert chat(*arguments, "--url", server.url, stdin="one\ntwo\n").stdout == "hello\n"
        assert server.sent == [[("user", "one\ntwo")]]


@pytest.mark.parametrize("locale", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
@pytest.mark.parametrize("question", [["日本"], []])
def test_any_bytes_in_any_locale(locale: dict[str, str], question: list[str]) -> None:
    environ = {**os.environ, "PYTHONCOERCECLOCALE": "0", **locale}
    with serving() as server:
        command = [*CHAT, *question, "--url", server.url, "--max-tokens", "1"]
        done = subprocess.run(command, input="é\n".encode() + b"\xff\n", capture_output=True, timeout=60, env=environ)
        contents = [body["messages"][-1]["content"] for body in server.bodies]
    assert (done.returncode, done.stderr) == (0, b"")
    assert contents == ["\n\n".join([*question, "é\n\N{REPLACEMENT CHARACTER}"])]


def test_json() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    worker = {"worker_id": {"decode_worker_id": "ab", "decode_worker": "decode-1"}}
    said = Said(("o", "n", "e"), thought=("hm",), usage=usage, nvext=worker, pause_s=0.01)
    with chatting(said) as server:
        done = chat("hi", "--json", "--url", server.url)
    told = json.loads(done.stdout)
    assert told.pop("ttft_ms") > 0 and told.pop("tokens_per_s") > 0
    assert (done.returncode, told) == (
        0,
        {"answer": "one", "reasoning": "hm", "usage": usage, "worker": "decode-1", "finish_reason": "stop"},
    )


def test_json_of_an_answer_that_broke_off() -> None:
    with chatting(Said(("half",), cut=True)) as server:
        done = chat("hi", "--json", "--url", server.url)
    told = json.loads(done.stdout)
    assert (done.returncode, told["answer"], told["usage"], told["worker"]) == (1, "half", None, None)
    assert done.stderr == f"dynamo: {told['error']}\n"


def test_thoughts_are_not_the_answer() -> None:
    with chatting(Said(("<think>hm</think>yes",), thought=("so",))) as server:
        assert chat("hi", "--url", server.url).stdout == "yes\n"


@pytest.mark.parametrize(
    ("model", "code", "out", "line"),
    [
        ("http-503", 3, "", "503: not now"),
        ("http-500", 1, "", "500: not now"),
        ("cut", 1, " w0 w1\n", "broke off"),
        ("error-event", 1, " w0 w1 w2 w3 w4\n", "the engine died"),
    ],
)
def test_a_failed_answer_is_one_line(model: str, code: int, out: str, line: str) -> None:
    with serving(model) as server:
        done = chat("hello", "--url", server.url)
    assert (done.returncode, done.stdout) == (code, out)
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["hi", "--url", "http://127.0.0.1:1"], 3, "nothing listens on http://127.0.0.1:1; "),
        (["  "], 2, "the question is empty"),
        (["hi", "--file", "/nowhere"], 2, "--file /nowhere: no such file or directory"),
        (["hi", "--file", "/"], 2, "--file /: is a directory"),
        (["hi", "--file", "{binary}"], 2, "--file {binary}: is not UTF-8 text"),
        (["hi", "--load", "{binary}"], 2, "{binary}: is not valid JSON: "),
        (["hi", "--top-p", "0"], 2, "--top-p 0.0: expected a number above 0, at most 1"),
        (["hi", "--seed", str(2**63)], 2, f"--seed {2**63}: expected a whole number of at most 64 bits"),
        (["hi", "--url", "http://127.0.0.1:1", "--api-key", "a\nb"], 2, "the API key of http://127.0.0.1:1 holds"),
        (["hi", "--api-key", "a\nb"], 2, "the API key of the deployment holds letters that no key has"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    arguments: list[str], code: int, line: str, tmp_path: Path
) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\x00")
    done = chat(*(argument.format(binary=binary) for argument in arguments))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert done.stderr.startswith(f"dynamo: {line.format(binary=binary)}")


def test_several_models() -> None:
    with chatting(models=["org/a", "org/b"]) as server:
        done = chat("hi", "--url", server.url)
        assert (done.returncode, server.bodies) == (2, [])
        assert done.stderr == f"dynamo: {server.url} serves several models: org/a, org/b; choose one with --model\n"
        chat("hi", "--url", server.url, "--model", "org/b")
        assert server.bodies[0]["model"] == "org/b"


def test_a_saved_chat_goes_on_with_its_model(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two", "reasoning": "hm"}]
    file.write_text(json.dumps({"object": "dynamo.chat", "model": "org/b", "messages": turns}))
    with chatting(models=["org/a", "org/b"]) as server:
        chat("three", "--load", str(file), "--system", "be kind", "--url", server.url)
        assert server.bodies[0]["model"] == "org/b"
        assert server.sent == [[("system", "be kind"), ("user", "one"), ("assistant", "two"), ("user", "three")]]


def test_the_key_goes_to_the_server_that_was_named() -> None:
    with chatting() as server:
        chat("hi", "--url", server.url, OPENAI_API_KEY="secret")
        chat("hi", "--url", server.url, "--api-key", "other", OPENAI_API_KEY="secret")
        chat("hi", "--url", server.url)
        assert server.keys == [*["Bearer secret"] * 2, *["Bearer other"] * 2, *[None] * 2]


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


def test_a_conversation_in_a_terminal(clean_environment: Path) -> None:
    endless = Said(tuple(f"word{number} " for number in range(1000)), pause_s=0.01)
    with chatting(endless, Said(("**bold**\n\n", *["- item\n"] * 10), pause_s=0.05)) as server:
        with Terminal("--url", server.url) as terminal:
            terminal.prompt()
            terminal.type("hello \\\nthere\n")
            terminal.wait_for("word2")
            terminal.type("\x03")
            assert "^C" not in terminal.wait_for("[stopped · TTFT ")
            terminal.prompt()
            terminal.type("a line cleared\x03")
            terminal.wait_for("Ctrl-C again")
            terminal.type("\x1b[200~two\n/lines\x1b[201~\n")
            terminal.wait_for("\x1b[1mbold")
            terminal.type("typed ahead")
            assert "typed" not in terminal.wait_for("[TTFT ")
            terminal.prompt()
            terminal.wait_for("typed ahead")
            terminal.type("\x03")
            terminal.wait_for("Ctrl-C again")
            terminal.type("/rety\n")
            terminal.wait_for("did you mean /retry?")
            terminal.prompt()
            terminal.type("\x04")
            assert terminal.end() == 0
        assert [asked[-1][1] for asked in server.sent] == ["hello \nthere", "two\n/lines"]
        assert server.sent[1][1][0] == "assistant" and server.sent[1][1][1].startswith("word0 word1")
    history = clean_environment / "chat_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert [json.loads(line) for line in history.read_text().splitlines()] == ["hello \nthere", "two\n/lines", "/rety"]


def test_history_of_an_earlier_chat_and_ctrl_c_twice() -> None:
    with chatting() as server:
        for typed in ("from before\n", "\x1b[A\n"):
            with Terminal("--url", server.url) as terminal:
                terminal.prompt()
                terminal.type(typed)
                terminal.wait_for("[TTFT ")
                terminal.prompt()
                terminal.type("\x03")
                terminal.wait_for("leaves)")
                terminal.prompt()
                terminal.type("\x03")
                assert terminal.end() == 0
        assert server.sent == [[("user", "from before")]] * 2


def test_tab_completes_commands_and_models() -> None:
    with chatting(models=[MODEL]) as server:
        with Terminal("--url", server.url) as terminal:
            terminal.prompt()
            terminal.type("/mod\torg\t\n")
            terminal.wait_for(f"the model is {MODEL} from now on")
            terminal.prompt()
            terminal.type("\x04")
            assert terminal.end() == 0


@pytest.mark.parametrize(("term", "options"), [("dumb", []), ("xterm", ["--no-markdown"])])
def test_plain_where_it_must_be(term: str, options: list[str]) -> None:
    with chatting(Said(("**bold**",))) as server:
        with Terminal("hi", "--url", server.url, *options, term=term) as terminal:
            assert terminal.wait_for("[TTFT ") == "**bold**\r\n"
            assert terminal.end() == 0


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with chatting(Said(("`code`\n\n```python\nif x: pass\n```",))) as server:
        with Terminal("hi", "--url", server.url) as terminal:
            shown = terminal.wait_for("[TTFT ")
            assert "code" in shown and "\x1b[3" not in shown and "\x1b[9" not in shown
            assert terminal.end() == 0


def test_a_conversation_needs_a_terminal_on_both_sides(tmp_path: Path) -> None:
    main, end = pty.openpty()
    with (tmp_path / "out").open("w") as out:
        done = subprocess.run(CHAT, stdin=end, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(main)
    os.close(end)
    assert (done.returncode, done.stderr) == (
        2,
        "dynamo: a conversation needs a terminal; give a QUESTION, or pipe it in\n",
    )


def test_the_first_prompt_is_there_fast() -> None:
    with chatting() as server:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with Terminal("--url", server.url, "--no-markdown") as terminal:
            terminal.prompt()
            terminal.type("\x04")
            assert terminal.end() == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.8
