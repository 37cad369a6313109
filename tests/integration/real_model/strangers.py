"""What a running deployment listens on, and what another user gets there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, NamedTuple

import msgspec
import psutil

from dynamo_cli.runtime.links.auth import new_hello, prove
from dynamo_cli.runtime.links.frames import Error, FrameReader, encode_frame
from dynamo_cli.runtime.requests.frames import Ping

GARBAGE = {
    "words": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "no proof": bytes(encode_frame(Ping(1))),
    "a guessed token": bytes(encode_frame(prove(b"guess", new_hello(), "requests"))),
}

# Reads {"unix": [path], "tcp": [port], "files": [path], "garbage": {name: hex}} and says what came of each.
NOBODY = """
import json, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)

def attempt(act, *arguments):
    try:
        return act(*arguments)
    except OSError as error:
        return type(error).__name__

def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    return "connected"

def read(path):
    with open(path) as file:
        return file.read()

def send(port, garbage):
    with socket.socket() as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        hello = client.recv(4096)
        client.sendall(bytes.fromhex(garbage))
        rest = b""
        try:
            while chunk := client.recv(4096):
                rest += chunk
        except ConnectionResetError:
            pass
    return rest.hex() if hello else "no nonce"

asked = json.load(sys.stdin)
unix = {path: attempt(connect, path) for path in asked["unix"]}
files = {path: attempt(read, path) for path in asked["files"]}
tcp = {f"{port} {name}": attempt(send, port, sent) for port in asked["tcp"] for name, sent in asked["garbage"].items()}
json.dump({"uid": os.getuid(), "unix": unix, "tcp": tcp, "files": files}, sys.stdout)
"""


class Listening(NamedTuple):
    """Socket paths, and ports with the address they are bound to."""

    unix: set[str]
    tcp: dict[int, str]


def refused(received: bytes) -> bool:
    """Whether a peer got nothing, or nothing but word that it must know the token."""
    frames = FrameReader().feed(received)
    said = [msgspec.msgpack.decode(frame, type=Error).code for frame in frames]
    return not received or said == ["unauthorized"]


def family(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def listening(processes: list[psutil.Process]) -> Listening:
    connections = [connection for process in processes for connection in process.net_connections("all")]
    return Listening(
        unix={connection.laddr for connection in connections if isinstance(connection.laddr, str) and connection.laddr},
        tcp={c.laddr.port: c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN},
    )


def as_nobody(unix: list[str], ports: list[int], files: list[str]) -> dict[str, Any]:
    """What a process of another user gets from each."""
    garbage = {name: sent.hex() for name, sent in GARBAGE.items()}
    asked = json.dumps({"unix": unix, "tcp": ports, "files": files, "garbage": garbage})
    done = subprocess.run([sys.executable, "-c", NOBODY], input=asked, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
