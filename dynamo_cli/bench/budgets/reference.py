"""The reference's side: NVIDIA Dynamo with its own mock engine, in an environment of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from dynamo_cli.bench.budgets.served import Served
from dynamo_cli.bench.target import parse_url
from dynamo_cli.errors import DynamoError, ResourceMissing
from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from dynamo_cli.hub.paths import cache_dir
from dynamo_cli.hub.resolve import resolve_model
from dynamo_cli.text.prepare import prepare_bundle

VERSION = "1.6.1"
# Without their dependencies: one is a placeholder that only downloads from an index of NVIDIA's.
PACKAGES = (f"ai-dynamo=={VERSION}", f"ai-dynamo-runtime=={VERSION}")
NEEDS = (
    *("aiohttp", "certifi", "kubernetes", "msgspec", "prometheus-client", "pydantic", "pyzmq", "redis"),
    *("tqdm", "transformers", "typing-extensions", "uvloop", "zstandard"),
)
AT_ONCE = "1000000"  # its 0 means 1
START_S = 60.0
MODEL = "mock"


def installed_reference() -> Path:
    """The Python of the reference's environment, which is made first if need be. Raises ResourceMissing."""
    place = cache_dir() / f"reference-{VERSION}"
    python, done = place / "bin" / "python", place / ".complete"
    if done.exists():
        return python
    sys.stderr.write(f"installing NVIDIA Dynamo {VERSION} into {place}\n")
    shutil.rmtree(place, ignore_errors=True)
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q")
    _run(sys.executable, "-m", "venv", str(place))
    _run(*pip, "--no-deps", *PACKAGES)
    _run(*pip, *NEEDS)
    done.touch()
    return python


class Reference:
    """`home` is a directory to write into, `python` the interpreter that has the reference."""

    name = "reference"

    def __init__(self, home: Path, python: Path) -> None:
        self._home = home / "reference"
        self._python = python
        self._model = self._home / "model"
        _lay_out_model(self._model)

    @contextmanager
    def serve(self, *, delay: bool) -> Iterator[Served]:
        port = _free_port()
        store = self._home / f"store-{port}"
        speed = "1" if delay else AT_ONCE
        frontend = ("dynamo.frontend", "--http-host", "127.0.0.1", "--http-port", str(port))
        worker = ("dynamo.mocker", "--model-path", str(self._model), "--model-name", MODEL, "--speedup-ratio", speed)
        processes = [self._start(store, *frontend, "--router-mode", "round-robin"), self._start(store, *worker)]
        try:
            url = f"http://127.0.0.1:{port}"
            _await_model(url, processes)
            yield Served(parse_url(url), MODEL, processes[0].pid)
        finally:
            _end(processes)

    def _start(self, store: Path, *arguments: str) -> subprocess.Popen[bytes]:
        settings = {
            "DYN_DISCOVERY_BACKEND": "file",
            "DYN_FILE_KV": str(store),
            "DYN_REQUEST_PLANE": "tcp",
            "DYN_EVENT_PLANE": "zmq",
            "DYN_TCP_RPC_HOST": "127.0.0.1",
            "DYN_TCP_RESPONSE_STREAM_HOST": "127.0.0.1",
            "HF_HUB_OFFLINE": "1",
            "HOME": str(self._home),  # it caches model cards there
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DYN_", "PYTHON"))}
        log = (self._home / f"{arguments[0]}.log").open("ab")
        with log:
            return subprocess.Popen(
                [str(self._python), "-m", *arguments],
                env=inherited | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _lay_out_model(place: Path) -> None:
    """The default model's tokenizer and template as Hugging Face lays them out, without weights."""
    bundle = prepare_bundle(resolve_model(DEFAULT_MODEL))
    if bundle is None:
        raise ResourceMissing(f"the tokenizer of {DEFAULT_MODEL} cannot be read")
    facts = msgspec.json.decode((bundle / "text.json").read_bytes())
    place.mkdir(parents=True)
    for name in ("tokenizer.json", "chat_template.jinja"):
        shutil.copyfile(bundle / name, place / name)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "max_position_embeddings": facts["context_length"],
        "bos_token_id": facts["bos_token_id"],
        "eos_token_id": facts["eos_token_ids"],
    }
    tokenizer = {name: facts[name] for name in ("bos_token", "eos_token")}
    (place / "config.json").write_bytes(msgspec.json.encode(config))
    (place / "tokenizer_config.json").write_bytes(msgspec.json.encode(tokenizer))


def _await_model(url: str, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        for process in processes:
            if process.poll() is not None:
                raise DynamoError(f"a process of the reference ended with {process.returncode} while it started")
        try:
            if httpx.get(f"{url}/v1/models", trust_env=False).json()["data"]:
                return
        except (httpx.HTTPError, ValueError, KeyError):
            pass
        time.sleep(0.02)
    raise DynamoError(f"the reference has not listed its model within {START_S:g} s")


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ResourceMissing(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise ResourceMissing(lines[0] if lines else f"{' '.join(command[:4])} ended with {done.returncode}")
