"""Fetch from the Hugging Face hub: one known file, or a whole model into its own cache."""

from __future__ import annotations

import errno
from pathlib import Path

from dynamo_cli.errors import DynamoError, ModelMissing, ResourceMissing
from dynamo_cli.hub.catalogue import HubFile
from dynamo_cli.hub.paths import disk_errors, huggingface_cache
from dynamo_cli.hub.progress import Progress, watching

CONNECT_S = 4.0
"""An unreachable hub is noticed within this time."""
READ_S = 30.0

_BESIDE_WEIGHTS = (".json", ".jinja", ".txt", ".model")


def fetch_file(source: HubFile, size: int, folder: Path, progress: Progress) -> Path:
    """Download one file of `size` bytes into `folder`. Raises ModelMissing (offline, refused, other size)."""
    import httpx

    target = folder / Path(source.path).name
    url = f"{hub_endpoint()}/{source.repo}/resolve/{source.revision}/{source.path}"
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=timeout) as answer, disk_errors(folder):
            if answer.status_code != 200:
                raise ModelMissing(f"Hugging Face answered {answer.status_code} for {source.repo}/{source.path}")
            done = 0
            with target.open("wb") as file:
                for chunk in answer.iter_raw(1 << 20):
                    done += len(chunk)
                    if done > size:
                        raise ModelMissing(f"Hugging Face sent more than {size} bytes of {source.path}")
                    file.write(chunk)
                    progress(target.name, done, size)
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:  # the latter of a proxy
        raise ModelMissing(f"Hugging Face cannot be reached: {error or type(error).__name__}") from error
    return target


def fetch_repository(name: str, progress: Progress) -> None:
    """Download a model into the Hugging Face cache: its .safetensors, else its only .gguf, and the small files.

    Raises ModelMissing (offline, unknown, gated, nothing to load) or ResourceMissing (disk).
    """
    endpoint = hub_endpoint()
    try:
        _fetch_repository(name, endpoint, progress)
    except DynamoError:
        raise
    except Exception as error:  # the hub's library has changed its HTTP library, and so its errors, twice
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise ResourceMissing(f"{huggingface_cache()}: cannot be written: {reason}") from error
        raise ModelMissing(f"model {name}: Hugging Face does not deliver: {reason}") from error


def _fetch_repository(name: str, endpoint: str, progress: Progress) -> None:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    files = HfApi(endpoint=endpoint).model_info(name, files_metadata=True, timeout=CONNECT_S).siblings or []
    sizes = {file.rfilename: int(file.size or 0) for file in files}
    chosen = choose_files(name, list(sizes))
    disable_progress_bars()
    cache = huggingface_cache()
    blobs = cache / f"models--{name.replace('/', '--')}" / "blobs"
    with watching(name, blobs, sum(sizes[file] for file in chosen), progress):
        snapshot_download(name, endpoint=endpoint, cache_dir=cache, allow_patterns=chosen, etag_timeout=CONNECT_S)


def choose_files(name: str, files: list[str]) -> list[str]:
    """The files of a repository that a worker loads."""
    top = [file for file in files if "/" not in file]
    beside = [file for file in top if file.endswith(_BESIDE_WEIGHTS)]
    tensors = [file for file in top if file.endswith(".safetensors")]
    # Some repositories hold the same weights a second time in their maker's own layout.
    standard = [file for file in tensors if not file.startswith("consolidated")]
    if tensors:
        return beside + (standard or tensors)
    ggufs = [file for file in top if file.endswith(".gguf") and not file.startswith("mmproj")]
    if len(ggufs) == 1:
        return beside + ggufs
    if ggufs:
        raise ModelMissing(f"model {name} has {len(ggufs)} .gguf files; download one and give its path as the model")
    raise ModelMissing(f"model {name} has no .safetensors or .gguf weights")


def hub_endpoint() -> str:
    """Raises ModelMissing when the user has switched it off."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ModelMissing("Hugging Face is switched off by HF_HUB_OFFLINE")
    return str(constants.ENDPOINT)
