"""The real engine's tokenizer, asked over its own HTTP on a private unix socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import xllamacpp


class EngineTokenizer:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def encode(self, text: str, add_special: bool = False) -> list[int]:
        body = {"content": text, "add_special": add_special, "parse_special": True}
        return self._client.post("/tokenize", json=body).raise_for_status().json()["tokens"]

    def decode(self, ids: list[int]) -> str:
        return self._client.post("/detokenize", json={"tokens": ids}).raise_for_status().json()["content"]


@contextmanager
def engine_tokenizer(model: Path) -> Iterator[EngineTokenizer]:
    with TemporaryDirectory(prefix="dyn-") as folder:
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.hostnames = [f"{folder}/x.sock"]
        params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 256, 1, False, -1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = params.n_threads_http = 1
        server = xllamacpp.Server(params)
        transport = httpx.HTTPTransport(uds=f"{folder}/x.sock")
        with httpx.Client(transport=transport, base_url="http://engine", timeout=30) as client:
            yield EngineTokenizer(client)
        del server
