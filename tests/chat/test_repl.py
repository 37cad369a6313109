"""The interactive chat without a terminal: what is typed, what is sent, what is told."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_cli.bench.target import parse_url
from dynamo_cli.chat.answer import Answer
from dynamo_cli.chat.commands import Commands
from dynamo_cli.chat.conversation import Conversation
from dynamo_cli.chat.repl import Repl
from dynamo_cli.chat.server import Server
from dynamo_cli.chat.session import Session
from dynamo_cli.chat.settings import Settings
from dynamo_cli.errors import (
    DynamoError,
    EngineFailed,
    InvalidRequest,
    ModelMissing,
    NotReady,
    StreamIncomplete,
    Unauthorized,
)
from tests.bench.server import Server as Misbehaving
from tests.bench.server import serving
from tests.chat.server import MODEL, Chatty, Refused, Said, Strict, chatting


@pytest.fixture
def chatty() -> Iterator[Chatty]:
    with chatting(said=Said(("hel", "lo"))) as running:
        yield running


class Talk:
    """Lines typed one after the other; `told` is what was shown for them."""

    def __init__(self, url: str, model: str = MODEL, out: io.StringIO | None = None) -> None:
        self.out = out or io.StringIO()
        self.server = Server(parse_url(url))
        self.session = Session(self.server, Settings(model), Conversation(), self.out)
        self.remembered: list[str] = []

    def type(self, *lines: str | BaseException) -> str:
        script = iter([*lines, EOFError()])

        def read(prompt: str) -> str:
            line = next(script)
            if isinstance(line, BaseException):
                raise line
            return line

        begin = len(self.out.getvalue())
        Repl(self.session, Commands(self.session), read, self.remembered.append).run()
        return self.out.getvalue()[begin:]


@pytest.fixture
def talk(chatty: Chatty) -> Iterator[Talk]:
    talk = Talk(chatty.url)
    yield talk
    talk.server.close()


def test_an_answer_is_followed_by_its_figures(chatty: Chatty, talk: Talk) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    chatty.plan.append(Said(("w0 ", "w1 ", "w2"), usage=usage, nvext={"worker_id": {"decode_worker": "decode-1"}}))
    answer, figures, blank = talk.type("hi").splitlines()
    assert (answer, blank) == ("w0 w1 w2", "")
    assert figures.startswith("[TTFT ")
    assert figures.endswith("tok/s · 3 tokens · decode-1 · 4 of 7 prompt tokens cached]")
    assert chatty.bodies[0]["nvext"] == {"extra_fields": ["worker_id"]}


def test_the_history_is_sent_and_forgotten(chatty: Chatty, talk: Talk) -> None:
    talk.type("/system be brief", "one", "two", "/reset", "three", "/system", "four", "/clear", "five")
    system, hello = ("system", "be brief"), ("assistant", "hello")
    assert chatty.sent == [
        [system, ("user", "one")],
        [system, ("user", "one"), hello, ("user", "two")],
        [system, ("user", "three")],
        [("user", "three"), hello, ("user", "four")],
        [("user", "five")],
    ]


def test_commands_and_empty_lines_ask_nothing(chatty: Chatty, talk: Talk) -> None:
    told = talk.type(
        "/help", "", "   ", "/nonsense x", "/modle", "/rest", "/help me", KeyboardInterrupt(), "/quit", "no"
    )
    assert chatty.bodies == []
    assert "/reset" in told
    assert "[there is no /nonsense; /help lists what there is]" in told
    assert "[there is no /modle; did you mean /model?]" in told
    assert "[there is no /rest; did you mean /reset?]" in told
    assert "[/help takes no argument]" in told
    assert "(Ctrl-C again, or Ctrl-D, leaves)" in told
    assert talk.remembered == ["/help", "/nonsense x", "/modle", "/rest", "/help me", "/quit"]


def test_ctrl_c_twice_leaves_and_once_does_not(chatty: Chatty, talk: Talk) -> None:
    talk.type(KeyboardInterrupt(), "one", KeyboardInterrupt(), KeyboardInterrupt(), "never")
    assert chatty.sent == [[("user", "one")]]


@pytest.mark.parametrize("message", ["/usr/bin is what?", "/* a comment */", "/help\nis pasted"])
def test_not_every_slash_is_a_command(chatty: Chatty, talk: Talk, message: str) -> None:
    talk.type(message)
    assert chatty.sent == [[("user", message)]]


def test_an_error_is_a_line_and_the_chat_goes_on(chatty: Chatty, talk: Talk) -> None:
    chatty.plan += [Said(("one",)), Refused(503, {"error": {"message": "no\nworker"}}), Said(("two",), cut=True)]
    told = talk.type("a", "b", "c", "d")
    assert "[the server answered 503: no worker; the conversation is kept, /retry asks again]" in told
    assert "two\n[the answer broke off: " in told
    assert chatty.sent[-1] == [("user", "a"), ("assistant", "one"), ("user", "d")]


def test_the_server_goes_and_comes_back() -> None:
    with chatting() as first:
        talk = Talk(first.url)
        talk.type("one")
        port = int(first.url.rpartition(":")[2])
    assert "nothing listens on" in talk.type("two")
    with chatting(port=port) as second:
        talk.type("/retry")
        assert second.sent == [[("user", "one"), ("assistant", "hello"), ("user", "two")]]
    talk.server.close()


def test_what_was_thought_is_not_sent_back(chatty: Chatty, talk: Talk) -> None:
    chatty.plan += [Said(("yes",), thought=("h", "m")), Said(("<thi", "nk>so</th", "ink>\n\n", "no"))]
    told = talk.type("a", "b", "c")
    assert "[thinking]\nhm\n[answer]\nyes\n" in told
    assert "[thinking]\nso\n[answer]\nno\n" in told
    assert chatty.sent[-1] == [
        *[("user", "a"), ("assistant", "yes")],
        ("user", "b"),
        ("assistant", "no"),
        ("user", "c"),
    ]
    assert [message.reasoning for message in talk.session.conversation.messages[:4]] == ["", "hm", "", "so"]


class Interrupting(io.StringIO):
    """Ctrl-C when this is written."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self._at = at

    def write(self, text: str) -> int:
        if text == self._at:
            raise KeyboardInterrupt
        return super().write(text)


def test_ctrl_c_stops_an_answer_hangs_up_and_keeps_what_came() -> None:
    endless = Said(tuple(f" w{number}" for number in range(1000)), pause_s=0.01)
    with chatting(endless) as chatty:
        talk = Talk(chatty.url, out=Interrupting(" w2"))
        told = talk.type("go", "and?")
        assert told.splitlines()[0] == " w0 w1"
        assert told.splitlines()[1].startswith("[stopped · TTFT ")
        assert chatty.hung_up.wait(5)
        assert chatty.sent[1] == [("user", "go"), ("assistant", "w0 w1 w2"), ("user", "and?")]
        assert [message.stopped for message in talk.session.conversation.messages] == [False, True, False, False]
        talk.server.close()


def test_retry_answers_the_last_question_again(chatty: Chatty, talk: Talk) -> None:
    told = talk.type("/retry", "one", "two", "/retry 0.5", "/retry 7", "/retry", "three")
    assert "[nothing was asked yet]" in told
    assert "[temperature: expected a number from 0 to 2, or default; found 7]" in told
    assert chatty.sent[1] == chatty.sent[2] == chatty.sent[3]
    assert [body.get("temperature") for body in chatty.bodies] == [None, None, 0.5, None, None]
    assert len(chatty.sent[4]) == 5


def test_a_retry_that_fails_keeps_the_answer_there_was(chatty: Chatty, talk: Talk) -> None:
    talk.type("one")
    chatty.plan.append(Refused(500, {}))
    talk.type("/retry", "two")
    assert chatty.sent[-1] == [("user", "one"), ("assistant", "hello"), ("user", "two")]


def test_undo(chatty: Chatty, talk: Talk) -> None:
    told = talk.type("one", "two", "/undo", "three", "/undo", "/undo", "/undo")
    assert chatty.sent[-1] == [("user", "one"), ("assistant", "hello"), ("user", "three")]
    assert "[taken back: two]" in told and "[nothing was asked yet]" in told


def test_models_are_listed_and_switched(chatty: Chatty, talk: Talk) -> None:
    chatty.models = [MODEL, "org/other"]
    told = talk.type("/model", "/model othr", "/model nothing-like-it", "/model org/other", "hi")
    assert told.startswith(f"* {MODEL}\n  org/other\n")
    assert "[the server has no model othr; did you mean org/other?]" in told
    assert f"[the server has no model nothing-like-it; it serves {MODEL}, org/other]" in told
    assert chatty.bodies[0]["model"] == "org/other"


def test_set(chatty: Chatty, talk: Talk) -> None:
    told = talk.type(
        *("/set temperature 0.5", "/set max_tokens 9", "/set top_p 0.25", "/set seed -3", "one"),
        *(
            "/set temperature default",
            "/set top_p 0",
            "/set max_tokens 1.5",
            "/set seed",
            "/set top_k 3",
            "/set",
            "two",
        ),
    )
    first, second = chatty.bodies
    assert (first["temperature"], first["max_tokens"], first["top_p"], first["seed"]) == (0.5, 9, 0.25, -3)
    assert "temperature" not in second and second["seed"] == -3
    assert "[top_p: expected a number above 0, at most 1, or default; found 0]" in told
    assert "[max_tokens: expected a whole number of at least 1, or default; found 1.5]" in told
    assert "[seed: expected a whole number of at most 64 bits, or default; found nothing]" in told
    assert "[top_k cannot be set; did you mean top_p]" in told
    assert "[temperature=default  max_tokens=9  top_p=0.25  seed=-3]" in told


def test_save_and_load(chatty: Chatty, talk: Talk, tmp_path: Path) -> None:
    file, notes = tmp_path / "chat.json", tmp_path / "notes"
    notes.write_text("mine")
    told = talk.type(
        "/system be kind", "one", f"/save {file}", f"/save {notes}", "/save", "/reset", f"/load {file}", "two"
    )
    assert f"[3 messages saved to {file}]" in told and f"[3 messages loaded from {file}]" in told
    assert f"[{notes} is there already and is no saved chat; choose another name]" in told
    assert "[/save wants a FILE]" in told
    assert chatty.sent[-1][-2:] == [("assistant", "hello"), ("user", "two")]
    assert json.loads(file.read_text())["model"] == MODEL
    told = talk.type(f"/load {notes}", "/load", f"/load {tmp_path}/no")
    assert f"[{notes}: is not valid JSON" in told and "[/load wants a FILE]" in told and "no such file]" in told


@pytest.mark.parametrize("name", ["~nobody-of-that-name/chat", "/" + "a" * 300], ids=["no such home", "too long"])
def test_a_file_that_cannot_be_is_a_line_and_the_chat_goes_on(talk: Talk, name: str) -> None:
    told = talk.type("one", f"/save {name}", f"/load {name}", "/save")
    assert told.count("home directory it begins with is not known]") + told.count("File name too long]") == 2
    assert "[/save wants a FILE]" in told and talk.session.conversation.messages


def test_ctrl_c_gives_up_a_command_and_not_the_chat(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(talk.server, "models", interrupted)
    told = talk.type("one", "/model", "/stats")
    assert "(Ctrl-C again, or Ctrl-D, leaves)" in told and "answers        1" in told


def test_markdown_and_stats(talk: Talk) -> None:
    told = talk.type("/stats", "/markdown maybe", "/markdown on", "one", "/stats")
    assert "no answers yet" in told and "[/markdown wants on or off]" in told and "[markdown is on]" in told
    assert talk.session.markdown
    assert "answers        1" in told


def test_tab_offers_models_and_survives_a_server_that_is_gone(chatty: Chatty, talk: Talk) -> None:
    assert Commands(talk.session).complete("/model org") == [MODEL]
    gone = Session(Server(parse_url("http://127.0.0.1:1")), Settings(MODEL), Conversation(), io.StringIO())
    assert Commands(gone).complete("/model ") == []
    assert "/clear" in Commands(gone).complete("/")


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("fields", [("nvext",), ("stream_options",), ("nvext", "stream_options")])
def test_a_strict_server_is_asked_again_without_and_remembered(status: int, fields: tuple[str, ...]) -> None:
    with chatting(strict=Strict(fields, status)) as chatty:
        talk = Talk(chatty.url)
        told = talk.type("one", "two")
        talk.server.close()
        assert told.count("hello\n[TTFT") == 2
        assert len(chatty.bodies) == len(fields) + 2
        assert not set(fields) & set(chatty.bodies[-1])


def test_other_refusals_are_not_asked_again() -> None:
    with chatting(strict=Strict(("temperature",))) as chatty:
        talk = Talk(chatty.url)
        told = talk.type("/set temperature 1", "one")
        talk.server.close()
        assert "[the server answered 400: unknown field temperature; " in told
        assert len(chatty.bodies) == 1


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("http-400", InvalidRequest),
        ("http-401", Unauthorized),
        ("http-404", ModelMissing),
        ("http-418", DynamoError),
        ("http-503", NotReady),
        ("error-event", EngineFailed),
        ("no-done", StreamIncomplete),
        ("cut", StreamIncomplete),
        ("drop", StreamIncomplete),
    ],
)
def test_what_goes_wrong_is_raised(model: str, error: type[DynamoError]) -> None:
    with serving() as misbehaving:
        server = Server(parse_url(misbehaving.url))
        with pytest.raises(error) as raised:
            list(Answer(server, Settings(model, max_tokens=3), [{"role": "user", "content": "hi"}]).stream())
        server.close()
    assert type(raised.value) is error


def test_one_connection_is_kept(talk: Talk, chatty: Chatty) -> None:
    threads = threading.active_count()
    talk.type("one", "two", "three")
    assert threading.active_count() == threads + 1, "one connection is one thread of the server"


def test_only_what_was_asked_for_is_sent() -> None:
    with serving() as misbehaving:
        server = Server(parse_url(misbehaving.url))
        list(Answer(server, Settings("good"), []).stream())
        list(Answer(server, Settings("good", temperature=0.0, max_tokens=2), []).stream())
        server.close()
        _check_bodies(misbehaving)


def _check_bodies(misbehaving: Misbehaving) -> None:
    first, second = misbehaving.bodies
    assert not {"temperature", "max_tokens", "top_p", "seed"} & set(first)
    assert (second["temperature"], second["max_tokens"]) == (0.0, 2)
