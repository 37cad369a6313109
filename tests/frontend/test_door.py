"""The public port of real `dynamo frontend` processes: TLS, clients that leave or stand still, too many of them."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from dynamo_cli.runtime.http.listener import bind
from tests.certificates import Certificates
from tests.frontend.processes import Process, models, started, until

pytestmark = pytest.mark.slow
Start = Callable[..., Process]
SLOW = ("worker", "--engine", "mock", "--options", '{"speedup_ratio": 1}', "--model-name", "mine")
FAST = (*SLOW[:4], '{"speedup_ratio": 0}', "--max-model-len", "60000", "--model-name", "mine")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with started(tmp_path) as start:
        yield start


@pytest.fixture
def slow(start: Start) -> Process:
    """A frontend with a worker that takes its time."""
    return served(start, SLOW)


def served(start: Start, worker: tuple[str, ...], **popen: object) -> Process:
    frontend, worker_process = start("frontend", "--http-port", "0", **popen), start(*worker)
    url = frontend.url
    until(lambda: models(url) == ["mine"], frontend, worker_process)
    return frontend


def port_of(frontend: Process) -> int:
    return int(frontend.url.rsplit(":", 1)[1])


def request(version: str = "1.1", **fields: object) -> bytes:
    body = json.dumps({"model": "mine", "messages": [{"role": "user", "content": "hi"}], **fields})
    return f"POST /v1/chat/completions HTTP/{version}\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


def connect(frontend: Process, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port_of(frontend)), timeout=20)
    connection.sendall(data)
    return connection


def rest(connection: socket.socket) -> bytes:
    received = b""
    with connection:
        while chunk := connection.recv(1 << 16):
            received += chunk
    return received


def inflight(frontend: Process) -> float:
    text = httpx.get(f"{frontend.url}/metrics", trust_env=False).text
    found = re.search(r'inflight_requests\{model="mine"\} (\S+)', text)
    return float(found[1]) if found else 0.0


def connections(frontend: Process) -> int:
    port = port_of(frontend)
    return sum(
        one.status == psutil.CONN_ESTABLISHED and one.laddr[1] == port
        for one in psutil.Process(frontend.popen.pid).net_connections("tcp")
    )


@pytest.mark.parametrize(("version", "stream"), [("1.1", False), ("1.1", True), ("1.0", False), ("1.0", True)])
def test_a_client_that_has_said_all_still_gets_its_answer(slow: Process, version: str, stream: bool) -> None:
    connection = connect(slow, request(version, stream=stream, max_tokens=40))
    connection.shutdown(socket.SHUT_WR)
    received = rest(connection)
    interim, _, answer = received.partition(b"HTTP/1.1 200 OK\r\n")
    assert answer, received
    assert interim.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"") == b""
    assert version == "1.1" or not interim
    assert b"connection: close" in answer
    assert (b"[DONE]" if stream else b'"completion_tokens":40') in answer


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_is_gone_cancels_its_request(slow: Process, stream: bool) -> None:
    connection = connect(slow, request(stream=stream, max_tokens=3_000))
    until(lambda: inflight(slow) == 1, slow)
    connection.close()
    until(lambda: inflight(slow) == 0, slow, timeout_s=3)


def test_a_client_that_goes_after_it_has_said_all_cancels_its_request(slow: Process) -> None:
    connection = connect(slow, request(max_tokens=3_000))
    until(lambda: inflight(slow) == 1, slow)
    connection.shutdown(socket.SHUT_WR)
    time.sleep(0.3)
    assert inflight(slow) == 1
    connection.close()
    until(lambda: inflight(slow) == 0, slow, timeout_s=3)


@pytest.mark.alone
def test_who_reads_nothing_is_cut_and_who_reads_slowly_is_not(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYN_HTTP_WRITE_TIMEOUT_SECS", "3")
    with bind("127.0.0.1", 0) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)
        arguments = ("frontend", "--listen-fd", str(listener.fileno()))
        frontend, worker = start(*arguments, pass_fds=[listener.fileno()]), start(*FAST)
        until(lambda: models(frontend.url) == ["mine"], frontend, worker)
        asked = request(stream=True, max_tokens=50_000)
        idle, reader = small_window(frontend, asked), connect(frontend, asked)
        until(lambda: inflight(frontend) == 2, frontend)
        deadline = time.monotonic() + 20
        while inflight(frontend) == 2:
            assert time.monotonic() < deadline
            assert reader.recv(4000)
            time.sleep(0.05)
        assert inflight(frontend) == 1
        idle.settimeout(2)
        with pytest.raises((ConnectionResetError, TimeoutError)):  # a reset may be lost on a closed window
            rest(idle)
        for _ in range(8):
            assert reader.recv(4000)
            time.sleep(0.05)
        assert until_end(reader).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def until_end(connection: socket.socket) -> bytes:
    """The rest of a stream."""
    received = b""
    with connection:
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(1 << 16)
    return received


def small_window(frontend: Process, data: bytes) -> socket.socket:
    connection = socket.socket()
    connection.settimeout(20)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)  # or the kernel waits for room for 64 KiB
    connection.connect(("127.0.0.1", port_of(frontend)))
    connection.sendall(data)
    return connection


@pytest.mark.parametrize(
    ("files", "most", "why"),
    [
        (4096, "20", "as many as may be are open"),
        (80, "4000", "Too many open files"),
        (96, "", "as many as may be are"),
    ],
)
def test_more_clients_than_there_may_be_wait(
    start: Start, monkeypatch: pytest.MonkeyPatch, files: int, most: str, why: str
) -> None:
    monkeypatch.setenv("DYN_HTTP_MAX_CONNECTIONS", most)
    limit = (files, files)
    frontend = start(
        "frontend", "--http-port", "0", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    )
    get = b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n"
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(frontend, b"")) for _ in range(150)]
        until(lambda: why in frontend.log, frontend)
        process = psutil.Process(frontend.popen.pid)
        before = sum(process.cpu_times()[:2])
        time.sleep(1)
        assert sum(process.cpu_times()[:2]) - before < 0.2
        held = connections(frontend)
        assert 10 < held < 100
        opened[0].sendall(get)
        assert b"live" in opened[0].recv(1000)
        opened[-1].sendall(get)
        for one in opened[:140]:
            one.close()
        assert b"live" in opened[-1].recv(1000)
    assert frontend.log.count("cannot accept") == 1
    assert frontend.popen.poll() is None


@pytest.fixture
def https(start: Start, pem: Certificates) -> Iterator[list[Process]]:
    """Two frontends on one inherited socket."""
    with bind("127.0.0.1", 0) as listener:
        descriptor = listener.fileno()
        tls = ("--tls-cert-path", pem.cert, "--tls-key-path", pem.key)
        yield [start("frontend", "--listen-fd", str(descriptor), *tls, pass_fds=[descriptor]) for _ in range(2)]


def trusting(pem: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=pem.authority)


def test_https_by_two_frontends_on_one_socket(https: list[Process], pem: Certificates) -> None:
    url = https[0].url
    assert url.startswith("https://127.0.0.1:")
    assert https[1].url == url
    pids = set()
    for _ in range(60):
        with httpx.Client(verify=trusting(pem), trust_env=False) as client:
            pids.add(client.get(f"{url}/health").json()["pid"])
    assert pids == {process.popen.pid for process in https}
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{url}/live", trust_env=False)
    context = trusting(pem)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(connect(https[0], b""), server_hostname="127.0.0.1") as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.version() in ("TLSv1.2", "TLSv1.3")


def test_what_is_no_tls_is_told_or_dropped_without_noise(https: list[Process], pem: Certificates) -> None:
    frontend = https[0]
    answer = rest(connect(frontend, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["message"] == "this port speaks TLS; use https"
    assert rest(connect(frontend, b"\0" * 100))[:8] != b"HTTP/1.1"
    connect(frontend, b"").close()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with connect(frontend, b"") as connection, pytest.raises(OSError):
        old.wrap_socket(connection)
    with httpx.Client(verify=trusting(pem), trust_env=False) as client:
        assert client.get(f"{frontend.url}/live").status_code == 200
    for process in https:
        assert process.log.count("\n") == process.log.count("serving on"), process.log


def test_a_handshake_that_does_not_come_ends(start: Start, pem: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYN_TLS_HANDSHAKE_TIMEOUT_SECS", "0.3")
    frontend = start("frontend", "--http-port", "0", "--tls-cert-path", pem.cert, "--tls-key-path", pem.key)
    assert rest(connect(frontend, b"\x16\x03\x01")) == b""
    until(lambda: connections(frontend) == 0, frontend)
    assert frontend.log.count("\n") == 1, frontend.log


def test_clients_show_certificates_if_they_must(
    start: Start, pem: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYN_TLS_CERT_PATH", pem.cert)
    monkeypatch.setenv("DYN_TLS_KEY_PATH", pem.key)
    monkeypatch.setenv("DYN_TLS_CLIENT_CA_CERT_PATH", pem.authority)
    frontend = start("frontend", "--http-port", "0")

    def ask(certificate: str | None) -> int:
        context = trusting(pem)
        if certificate:
            context.load_cert_chain(certificate)
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.get(f"{frontend.url}/live").status_code

    assert ask(pem.client) == 200
    for certificate in (None, pem.stranger):
        with pytest.raises(httpx.TransportError):
            ask(certificate)
    assert frontend.log.count("\n") == 1, frontend.log


@pytest.mark.parametrize(
    ("arguments", "environ", "line"),
    [
        (["--tls-cert-path", "/none"], {}, "dynamo: --tls-cert-path is given without its key\n"),
        (["--tls-cert-path", "{cert}"], {"DYN_TLS_KEY_PATH": "/none"}, "dynamo: --tls-key-path /none: No such file or"),
        (
            ["--tls-cert-path", "{expired}", "--tls-key-path", "{expired_key}"],
            {},
            "dynamo: --tls-cert-path {expired}: cert",
        ),
        (["--api-keys-file", "/none"], {}, "dynamo: --api-keys-file /none: No such file or directory\n"),
        ([], {"DYN_API_KEYS": ","}, "dynamo: DYN_API_KEYS holds no key\n"),
        (["--cors-allow-origin", "me"], {}, "dynamo: --cors-allow-origin me: expected an origin such as https://ex"),
        ([], {"DYN_CORS_ALLOW_ORIGINS": "me"}, "dynamo: --cors-allow-origin me: expected an origin such as https://ex"),
        ([], {"DYN_HTTP_BODY_LIMIT_MB": "nan"}, "dynamo: DYN_HTTP_BODY_LIMIT_MB='nan' is no number\n"),
        ([], {"DYN_HTTP_IDLE_TIMEOUT_SECS": "0"}, "dynamo: DYN_HTTP_IDLE_TIMEOUT_SECS='0' must be more than 0\n"),
    ],
)
def test_wrong_options_are_one_line(
    start: Start,
    pem: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environ: dict[str, str],
    line: str,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    names = pem._asdict()
    frontend = start("frontend", "--http-port", "0", *(word.format(**names) for word in arguments))
    assert frontend.popen.wait(20) == 2
    assert frontend.log.startswith(line.format(**names))
    assert frontend.log.count("\n") == 1
