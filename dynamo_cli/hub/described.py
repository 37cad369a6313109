"""What the Hugging Face hub tells of a model without its weights, remembered for those who must not ask it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.huggingface import CONNECT_S, READ_S, choose_files, hub_endpoint
from dynamo_cli.hub.paths import cache_dir, disk_errors
from dynamo_cli.hub.tensors import Tensor

CONFIG = "config.json"
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2}
"""Of one number; all others have one."""


class Description(msgspec.Struct, frozen=True):
    """`config`: config.json. `numbers` by kind (BF16, F8_E4M3, ...), {} where the hub does not count them; `bytes` of
    the files that an engine loads."""

    config: dict[str, Any]
    numbers: dict[str, int]
    bytes: int

    @property
    def tensors(self) -> list[Tensor]:
        """As if all weights of a kind were one matrix."""
        counted = [Tensor(kind, kind, (size, 1), size * BYTES.get(kind, 1)) for kind, size in self.numbers.items()]
        return counted or [Tensor("all", "", (self.bytes, 1), self.bytes)]


def recall(name: str) -> Description | None:
    """What `describe` was told before."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(_file(name).read_bytes(), type=Description)
    return None


def describe(name: str) -> Description:
    """Ask the hub, and remember the answer. Raises ModelMissing when it does not tell, in words why."""
    endpoint = hub_endpoint()
    try:
        found = _ask(name, endpoint)
    except ModelMissing:
        raise
    except Exception as error:  # the hub's library has changed its HTTP library, and so its errors, twice
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelMissing(f"model {name}: Hugging Face does not tell: {reason}") from error
    file = _file(name)
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_suffix(f".tmp-{os.getpid()}")
        scratch.write_bytes(msgspec.json.encode(found))
        os.replace(scratch, file)
    return found


def _ask(name: str, endpoint: str) -> Description:
    import httpx
    from huggingface_hub import HfApi

    told = HfApi(endpoint=endpoint).model_info(name, files_metadata=True, timeout=CONNECT_S)
    sizes = {file.rfilename: int(file.size or 0) for file in told.siblings or ()}
    weights = [file for file in choose_files(name, list(sizes)) if file.endswith(".safetensors")]
    if not weights or CONFIG not in sizes:
        raise ModelMissing(f"model {name}: the hub tells nothing of its layers; `dynamo pull {name}` fetches it")
    url = f"{endpoint}/{name}/resolve/{told.sha}/{CONFIG}"
    answer = httpx.get(url, follow_redirects=True, timeout=httpx.Timeout(READ_S, connect=CONNECT_S), headers=_token())
    if answer.status_code != 200:
        raise ModelMissing(f"model {name}: Hugging Face answered {answer.status_code} for {CONFIG}")
    numbers = getattr(told.safetensors, "parameters", None) or {}
    return Description(answer.json(), dict(numbers), sum(sizes[file] for file in weights))


def _token() -> dict[str, str]:
    from huggingface_hub import get_token

    token = get_token()
    return {"authorization": f"Bearer {token}"} if token else {}


def _file(name: str) -> Path:
    return cache_dir() / "described" / f"{name.replace('/', '--')}.json"
