"""Adapters as models: through real frontends and workers, and in the routing of one frontend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dynamo_cli.runtime.paths import DeploymentPaths
from tests.frontend.processes import Process, models, started, until

pytestmark = pytest.mark.slow
Start = Callable[..., Process]
PROMPT = " ".join(str(number) for number in range(400))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with started(tmp_path) as start:
        yield start


class Worker:
    def __init__(self, start: Start, *more: str) -> None:
        words = (
            "worker",
            "--engine",
            "mock",
            "--model-name",
            "base",
            "--speedup-ratio",
            "0",
            "--max-loras",
            "2",
            *more,
        )
        self.process = start(*words)
        until(lambda: "serving base" in self.process.log, self.process)
        self._socket = DeploymentPaths("local").runtime_dir / f"pid-{self.process.popen.pid}.sock"
        self.id = self.ask("GET", "/health")["instance"]

    def ask(self, method: str, path: str, **more: Any) -> Any:
        transport = httpx.HTTPTransport(uds=str(self._socket))
        with httpx.Client(transport=transport, base_url="http://admin", timeout=20) as client:
            answer = client.request(method, path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def load(self, name: str, directory: Path) -> None:
        self.ask("POST", "/v1/loras", json={"lora_name": name, "source": {"uri": str(directory)}})


def ask(url: str, model: str, text: str = PROMPT) -> dict[str, Any]:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 6,
        "nvext": {"extra_fields": ["worker_id"]},
    }
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, trust_env=False, timeout=20)
    return {"code": answer.status_code, **answer.json()}


def said(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def cached(answer: dict[str, Any]) -> int:
    return int(answer["usage"]["prompt_tokens_details"]["cached_tokens"])


@pytest.mark.parametrize("mode", ["kv", "least-loaded"])
def test_an_adapter_is_served_by_the_workers_that_have_it(mode: str, start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "weights"
    directory.mkdir()
    with_it, without = Worker(start), Worker(start)
    frontend = start("frontend", "--http-port", "0", "--router-mode", mode)
    url = frontend.url
    until(lambda: models(url) == ["base"], frontend)
    with_it.load("org/lora", directory)
    until(lambda: sorted(models(url)) == ["base", "org/lora"], frontend)
    of_base, *of_lora = ask(url, "base"), *(ask(url, "org/lora") for _ in range(4))
    assert all(said(answer) == said(of_lora[0]) != said(of_base) for answer in of_lora)
    workers = {answer["nvext"]["worker_id"]["decode_worker_id"] for answer in of_lora}
    assert workers == {with_it.id}
    assert cached(of_lora[0]) == 0 and cached(of_lora[1]) > 0
    without.load("org/lora", directory)
    with_it.ask("DELETE", "/v1/loras/org%2Flora")
    until(lambda: _served_by(url, without.id), frontend)
    without.ask("DELETE", "/v1/loras/org%2Flora")
    until(lambda: models(url) == ["base"], frontend)
    assert ask(url, "org/lora")["code"] == 503 and ask(url, "base")["code"] == 200


def _served_by(url: str, worker: str) -> bool:
    answer = ask(url, "org/lora")
    return bool(answer["code"] == 200 and answer["nvext"]["worker_id"]["decode_worker_id"] == worker)


def test_of_two_weights_under_one_name_only_one_is_served(start: Start, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text(name)
    Worker(start, "--adapter", f"lora={tmp_path}/one")
    frontend = start("frontend", "--http-port", "0")
    until(lambda: "lora" in models(frontend.url), frontend)
    Worker(start, "--adapter", f"lora={tmp_path}/two")
    until(lambda: "of model lora is refused, it differs from the others in adapter" in frontend.log, frontend)


def test_a_frontend_for_the_adapter_alone_routes_by_its_own_prefixes(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "weights"
    directory.mkdir()
    for _ in range(2):
        Worker(start, "--adapter", f"lora={directory}")
    frontend = start("frontend", "--http-port", "0", "--router-mode", "kv", "--model-name", "lora")
    until(lambda: models(frontend.url) == ["lora"], frontend)
    first, *others = (ask(frontend.url, "lora") for _ in range(5))
    assert not cached(first) and all(map(cached, others))
