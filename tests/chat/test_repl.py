from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from dynamo_cli.bench.target import parse_url
from dynamo_cli.chat.answer import Answer, Settings
from dynamo_cli.chat.conversation import Conversation
from dynamo_cli.chat.repl import Repl
from dynamo_cli.errors import EngineFailed, InvalidRequest, NotReady, StreamIncomplete
from tests.bench.server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def settings(server: Server, model: str = "good") -> Settings:
    return Settings(parse_url(server.url), model, max_tokens=3)


def converse(server: Server, *lines: str | BaseException, model: str = "good") -> str:
    script = iter([*lines, EOFError()])

    def read_line() -> str:
        line = next(script)
        if isinstance(line, BaseException):
            raise line
        return line

    out = io.StringIO()
    Repl(settings(server, model), Conversation(), read_line, out).run()
    return out.getvalue()


def sent(server: Server) -> list[list[tuple[str, str]]]:
    return [[(m["role"], m["content"]) for m in body["messages"]] for body in server.bodies]


def test_an_answer_is_followed_by_its_figures(server: Server) -> None:
    text = converse(server, "hi")
    answer, figures = text.splitlines()
    assert answer == " w0 w1 w2"
    assert figures.startswith("[TTFT ")
    assert "3 tokens" in figures


def test_the_history_is_sent_and_forgotten(server: Server) -> None:
    converse(server, "/system be brief", "one", "two", "/reset", "three", "/system", "four")
    system = ("system", "be brief")
    first = [("user", "one"), ("assistant", " w0 w1 w2")]
    assert sent(server) == [
        [system, ("user", "one")],
        [system, *first, ("user", "two")],
        [system, ("user", "three")],
        [("user", "three"), ("assistant", " w0 w1 w2"), ("user", "four")],
    ]


def test_commands_and_empty_lines_ask_nothing(server: Server) -> None:
    text = converse(server, "/help", "", "   ", "/nonsense x", KeyboardInterrupt(), "/quit", "never")
    assert server.bodies == []
    assert "/reset" in text
    assert "there is no /nonsense; /help lists what there is" in text


def test_an_error_is_a_line_and_the_chat_goes_on(server: Server) -> None:
    text = converse(server, "one", "two", model="error-event")
    assert text.count("[the engine died]") == 2
    assert sent(server)[1] == [("user", "two")], "a failed answer is not part of the conversation"


def test_ctrl_c_stops_an_answer_and_hangs_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    write = out.write

    def interrupt_after_first(text: str) -> int:
        if text == " w1":
            raise KeyboardInterrupt
        return write(text)

    monkeypatch.setattr(out, "write", interrupt_after_first)
    script = iter(["go", EOFError()])

    def read_line() -> str:
        line = next(script)
        if isinstance(line, BaseException):
            raise line
        return line

    endless = Settings(parse_url(server.url), "slow", max_tokens=10_000)
    Repl(endless, Conversation(), read_line, out).run()
    assert out.getvalue().splitlines()[0] == " w0"
    assert "[stopped; " in out.getvalue()
    assert server.hung_up.wait(5)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("http-400", InvalidRequest),
        ("http-503", NotReady),
        ("error-event", EngineFailed),
        ("no-done", StreamIncomplete),
        ("cut", StreamIncomplete),
    ],
)
def test_what_goes_wrong_is_raised(server: Server, model: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(Answer(settings(server, model), [{"role": "user", "content": "hi"}]).stream())


def test_only_what_was_asked_for_is_sent(server: Server) -> None:
    plain = Settings(parse_url(server.url), "good")
    list(Answer(plain, []).stream())
    list(Answer(Settings(plain.address, "good", temperature=0.0, max_tokens=2), []).stream())
    assert "temperature" not in server.bodies[0]
    assert "max_tokens" not in server.bodies[0]
    assert (server.bodies[1]["temperature"], server.bodies[1]["max_tokens"]) == (0.0, 2)
