"""disagg.toml: what two workers answer together is what one answers alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.dynamo import TOPOLOGIES, Dynamo, kill, metric
from tests.integration.real_model.conftest import Agg
from tests.supervisor.harness import gone, until

pytestmark = pytest.mark.slow

WORDS = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 20, 24, 28, 33, 60)
TOKENS = 8
TEXT = (Path(__file__).parents[3] / "LICENSE").read_text().split()


@pytest.fixture(scope="module")
def disagg(session_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agg]:
    home = session_home / "disagg"
    (home / "run").mkdir(parents=True, mode=0o700)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DYN_", "DYNAMO_"))}
    environ |= {"DYNAMO_HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    dynamo = Dynamo(tmp_path_factory.mktemp("disagg"), environ)
    started = dynamo.run("up", "-d", str(TOPOLOGIES / "disagg.toml"), "--set", "frontend.port=0", timeout_s=120)
    assert started.code == 0, started
    status = dynamo.status()
    yield Agg(dynamo, status["url"], status["models"][0], home / "disagg")
    assert dynamo.run("down").code == 0
    gone(home, 3.0)


def prompt(words: int) -> str:
    """Another text for each number of words, so that no worker has its beginning in its cache."""
    return " ".join(TEXT[11 * words : 12 * words])


def answer(served: Agg, words: int) -> dict[str, Any]:
    body = {"model": served.model, "prompt": prompt(words), "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}
    response = httpx.post(f"{served.url}/v1/completions", json=body, timeout=60.0)
    assert response.status_code == 200, response.text
    return dict(response.json())


def texts(served: Agg, at_once: int) -> list[str]:
    with ThreadPoolExecutor(at_once) as pool:
        return [each["choices"][0]["text"] for each in pool.map(lambda words: answer(served, words), WORDS)]


@pytest.fixture(scope="module")
def alone(agg: Agg) -> list[str]:
    return texts(agg, 1)


def told(served: Agg, name: str) -> float:
    return metric(served.root / "run" / "frontend-0.sock", f"dynamo_frontend_{name}")


def held(served: Agg) -> float:
    return metric(served.root / "run" / "prefill-0.sock", "dynamo_kv_transfer_held")


@pytest.mark.parametrize("at_once", [1, 4])
def test_the_greedy_text_is_that_of_one_worker_and_every_prompt_was_transferred(
    alone: list[str], disagg: Agg, at_once: int
) -> None:
    prefills, size = told(disagg, "remote_prefill_total"), told(disagg, "kv_transfer_bytes_total")
    assert texts(disagg, at_once) == alone
    assert told(disagg, "remote_prefill_total") - prefills == len(WORDS)
    assert told(disagg, "kv_transfer_bytes_total") - size > 20_000 * sum(WORDS)
    assert told(disagg, "remote_prefill_fallback_total") == 0
    until(lambda: held(disagg) == 0, 5.0, "every hand-over to be freed")


def test_without_the_prefill_worker_the_other_one_does_it_all(alone: list[str], disagg: Agg) -> None:
    kill(disagg.dynamo.pid("prefill-0"))
    assert answer(disagg, WORDS[-1])["choices"][0]["text"] == alone[-1]
    disagg.dynamo.until("READY", 60.0)
