"""A topology whose workers load adapters: models beside the pool's own."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.integration.dynamo import Dynamo, ask

TOPOLOGY = """\
name = "loras"
model = "HuggingFaceTB/SmolLM2-135M-Instruct"
[frontend]
port = 0
[router]
mode = "kv"
[workers.decode]
engine = "mock"
replicas = 2
options = { speedup_ratio = 0, max_loras = 1 }
adapters = { sql = "weights" }
"""


def test_adapters_of_a_pool_are_models(dynamo: Dynamo, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    started = dynamo.run("up", "-d", dynamo.write(TOPOLOGY))
    assert started.code == 0, started.err
    status = dynamo.status()
    url, base = status["url"], status["models"][0]
    models = httpx.get(f"{url}/v1/models", timeout=20.0).json()["data"]
    assert {model["id"]: model.get("parent") for model in models} == {base: None, "sql": base}
    texts = {name: ask(url, name).json()["choices"][0]["message"]["content"] for name in (base, "sql")}
    assert all(texts.values()) and texts[base] != texts["sql"]
    assert dynamo.run("down").code == 0
