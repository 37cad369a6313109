"""Who may ask: API keys, from the environment and from a file."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from pathlib import Path

from dynamo_cli.errors import InvalidApiKey, UsageError

KEYS_VARIABLE = "DYN_API_KEYS"


class KeysFileProblem(UsageError):
    """`what` is wrong with the file."""

    def __init__(self, what: str) -> None:
        super().__init__(f"--api-keys-file {what}")
        self.what = what


class ApiKeys:
    """Never empty, never shown."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._keys = tuple(keys)

    def check(self, authorization: bytes | None) -> InvalidApiKey | None:
        """What is wrong with this header. Every key is compared, in a time that does not depend on the answer."""
        scheme, _, given = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return InvalidApiKey("this server needs an API key: Authorization: Bearer KEY")
        given = given.strip()
        if not any([hmac.compare_digest(given, key) for key in self._keys]):
            return InvalidApiKey("the API key is wrong")
        return None


def load_keys(variable: str | None, file: str | None) -> ApiKeys | None:
    """Comma separated in the variable, one a line in the file; both count. None: no key is needed. UsageError."""
    keys = _checked((variable or "").split(","), KEYS_VARIABLE)
    if variable and not keys:
        raise UsageError(f"{KEYS_VARIABLE} holds no key")
    if file:
        keys += _from_file(file)
    return ApiKeys(dict.fromkeys(keys)) if keys else None


def _from_file(file: str) -> list[bytes]:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise KeysFileProblem(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeysFileProblem(f"{file}: is no text") from None
    try:
        keys = _checked([line for line in lines if not line.lstrip().startswith("#")], file)
    except UsageError as error:
        raise KeysFileProblem(str(error)) from None
    if not keys:
        raise KeysFileProblem(f"{file}: holds no key")
    return keys


def _checked(words: list[str], where: str) -> list[bytes]:
    keys = [word.strip() for word in words if word.strip()]
    for number, key in enumerate(keys, 1):
        if not key.isascii() or not key.isprintable() or " " in key:
            raise UsageError(f"{where}: key {number} holds a letter that no header can carry")
    return [key.encode() for key in keys]
