"""The models on this disk, and the way to more of them."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.doctor.check import Check, Question, ok, size, skipped, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.hub.catalogue import CATALOGUE
from dynamo_cli.hub.paths import huggingface_cache, models_dir, user_cache

ENDPOINT = "https://huggingface.co"
TOKEN_NAMES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
OFFLINE_NAMES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
TRUE = ("1", "ON", "YES", "TRUE")
REACH_S = 5.0


class Model(NamedTuple):
    """`whole` is False for a file that is shorter than it should be. `bytes_` on this disk."""

    name: str
    bytes_: int
    whole: bool = True


class Token(NamedTuple):
    """`source`: the variable or file it comes from, "" for none. `problem`: a key of TOKEN_PROBLEMS, or ""."""

    source: str = ""
    problem: str = ""


TOKEN_PROBLEMS = {
    "malformed": ("holds what does not look like one", "hf auth login, or correct {}"),
    "unreadable": ("cannot be read", "sudo chown $USER {}"),
    "open": ("can be read by other users", "chmod 600 {}"),
}
"""What is wrong with where a token comes from, and what to do."""


def questions(machine: Machine) -> Iterator[Question]:
    environ = machine.environ
    yield Question("models", lambda: models_check(list(read_models())))
    yield Question("huggingface-token", lambda: token_check(read_token(environ)))
    yield Question("huggingface-settings", lambda: settings_check(environ))
    yield Question("huggingface", lambda: _reach_check(environ, machine.asked.thorough))


def models_check(models: list[Model]) -> Check:
    broken = [each for each in models if not each.whole]
    if broken:
        words = f"{', '.join(f'{each.name} ({size(each.bytes_)})' for each in broken)} is not whole"
        return warn("models", words, f"dynamo pull {broken[0].name}")
    if not models:
        return warn("models", "none on this disk: only mock and echo workers can start", "dynamo pull")
    return ok("models", ", ".join(f"{each.name} ({size(each.bytes_)})" for each in models))


def token_check(token: Token) -> Check:
    name = "huggingface-token"
    if not token.source:
        return skipped(name, "none; only gated and private models need one")
    if token.problem:
        what, fix = TOKEN_PROBLEMS[token.problem]
        return warn(name, f"{token.source} {what}", fix.format(token.source))
    return ok(name, f"from {token.source}")


def settings_check(environ: Mapping[str, str]) -> Check:
    endpoint = environ.get("HF_ENDPOINT", "")
    offline = [f"{name}={environ[name]}" for name in OFFLINE_NAMES if _is_true(environ.get(name, ""))]
    if endpoint and not endpoint.startswith(("http://", "https://")):
        return warn("huggingface-settings", f"HF_ENDPOINT={endpoint} is not a URL", "unset HF_ENDPOINT")
    words = [f"cache {huggingface_cache()}", f"HF_ENDPOINT={endpoint}" if endpoint else "", *offline]
    return ok("huggingface-settings", ", ".join(filter(None, words)))


def reach_check(endpoint: str, failure: str) -> Check:
    if failure:
        fix = "check the network, set https_proxy, or put models on this disk another way"
        return warn("huggingface", f"{endpoint} cannot be reached: {failure}", fix)
    return ok("huggingface", f"{endpoint} answers")


def _reach_check(environ: Mapping[str, str], thorough: bool) -> Check:
    if any(_is_true(environ.get(name, "")) for name in OFFLINE_NAMES[:1]):
        return skipped("huggingface", f"switched off by {OFFLINE_NAMES[0]}")
    if not thorough:
        return skipped("huggingface", "only with --thorough")
    endpoint = environ.get("HF_ENDPOINT") or ENDPOINT
    return reach_check(endpoint, reach(endpoint))


def reach(endpoint: str) -> str:
    """Why the endpoint gives no answer, "" when it gives any."""
    import httpx

    try:
        httpx.head(endpoint, timeout=REACH_S)
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        return str(failure) or type(failure).__name__
    return ""


def read_models() -> Iterator[Model]:
    """Those of the catalogue that were pulled, then those in the cache of Hugging Face."""
    for model in CATALOGUE.values():
        file = models_dir() / model.file
        if file.is_file():
            found = file.stat().st_size
            yield Model(model.name, found, found == model.size)
    for folder in sorted(huggingface_cache().glob("models--*")):
        name = folder.name.removeprefix("models--").replace("--", "/", 1)
        yield Model(name, sum(file.stat().st_size for file in (folder / "blobs").glob("*") if file.is_file()))


def read_token(environ: Mapping[str, str]) -> Token:
    for name in TOKEN_NAMES:
        if environ.get(name):
            return Token(name, _malformed(environ[name]))
    home = Path(environ.get("HF_HOME") or user_cache() / "huggingface").expanduser()
    file = Path(environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
    if not file.is_file():
        return Token()
    try:
        problem = _malformed(file.read_text(errors="replace").strip())
    except OSError:
        return Token(str(file), "unreadable")
    return Token(str(file), problem or ("open" if stat.S_IMODE(file.stat().st_mode) & 0o077 else ""))


def _malformed(token: str) -> str:
    return "" if token.startswith("hf_") and token.isascii() and len(token.split()) == 1 else "malformed"


def _is_true(value: str) -> bool:
    return value.upper() in TRUE
