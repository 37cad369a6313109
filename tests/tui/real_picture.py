"""The picture of the README: a real deployment of a real model, answering, as the real app shows it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from dynamo_cli.supervisor.deployments import Deployment, select
from dynamo_cli.tui.app import DeploymentApp

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "agg.toml"
DYNAMO = [sys.executable, "-m", "dynamo_cli"]
WIDTH, HEIGHT, ANSWERING_S, AT_ONCE = 120, 28, 25.0, 3
QUESTIONS = ("What color is the sky?", "Name three fruits.", "Why do leaves fall?", "What is a prime number?")


async def take_real(file: Path) -> None:
    with _up() as deployment, _asked(deployment):
        app = DeploymentApp(deployment, owns=True)
        async with app.run_test(size=(WIDTH, HEIGHT)) as pilot:
            await pilot.pause(ANSWERING_S)
            file.write_text(app.export_screenshot(title="dynamo up topologies/agg.toml"))


@contextmanager
def _up() -> Iterator[Deployment]:
    with tempfile.TemporaryDirectory() as home:
        os.environ["DYNAMO_HOME"] = os.environ["XDG_RUNTIME_DIR"] = home
        subprocess.run([*DYNAMO, "up", "-d", str(TOPOLOGY)], check=True, stdout=subprocess.DEVNULL)
        try:
            yield select(None)
        finally:
            subprocess.run([*DYNAMO, "down"], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _asked(deployment: Deployment) -> Iterator[None]:
    """Several conversations at a time, until the end of the block."""
    over, status = threading.Event(), deployment.client.status()

    def talk(number: int) -> None:
        turn = number
        while not over.is_set():
            messages = [{"role": "user", "content": QUESTIONS[turn % len(QUESTIONS)]}]
            body = {"model": status.models[0], "messages": messages, "max_tokens": 48}
            httpx.post(f"{status.url}/v1/chat/completions", json=body, timeout=60.0, trust_env=False)
            turn += 1

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
