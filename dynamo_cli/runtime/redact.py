"""Secrets are not for logs, plans and reports: what looks like one, or is named like one, is covered."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping, Sequence

COVER = "***"
_NAMED = r"(?:token|secret|password|passphrase|passwd|api[_-]?keys?|access[_-]?key|credentials?)"
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_-]{8,}|nvapi-[A-Za-z0-9_-]{8,}|gh[pousr]_[A-Za-z0-9]{8,}"
    r"|glpat-[A-Za-z0-9_-]{8,}|xox[abeoprs]-[A-Za-z0-9-]{8,}|AIza[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{12,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+)"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_IN_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://[^\s:/@]*:)[^\s@/]+@")
_REFUSED = "|".join(
    re.escape(os.strerror(code))
    for code in (
        *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP),
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE),
    )
)
_VALUE = r"""(?:(?<=")(?:[^"\\\n]|\\(?!"))+|(?<=')(?:[^'\\\n]|\\(?!'))+|(?:[^\s'\",;&}\\]|\\(?!['\"]))+)"""
"""Within quotes up to the next, else a word; never the backslash that belongs to a quote."""
_ASSIGNED = re.compile(
    rf"(?i)(--?[a-z0-9-]{{0,40}}{_NAMED}|\b[a-z0-9_]*{_NAMED})(\\?['\"]?\s*[=:]\s*\\?['\"]?)"
    rf"(?!\d{{1,7}}\b|{_REFUSED}){_VALUE}"
)
"""A short number behind the name is a count or an id: `BOS token = 1`; behind a file's, why it cannot be had."""
_FLAG = rf"--[a-z0-9-]{{0,40}}{_NAMED}"
_ARGUMENT = re.compile(rf"(?i)({_FLAG}(?:\s+|(?P<quote>['\"]),\s*(?P=quote)))(?!-)(?:(?<=['\"])[^'\"]+|\S+)")
"""A command as it is typed, and as Python and JSON write it."""
_HINTS = (
    *("token", "secret", "pass", "api", "access", "credential", "bearer", "basic", "@"),
    *("hf_", "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "akia", "eyj", "glpat", "xox", "aiza"),
)
"""Without one of these a text holds no secret: most lines are done with after a look for them."""
_NAME = re.compile(rf"(?i)(?:{_NAMED}|_key|_pat|_pwd|_headers)$")


def redact(text: str) -> str:
    """`text` with every secret in it covered. Idempotent."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    text = _TOKENS.sub(COVER, text)
    text = _BEARER.sub(rf"\1 {COVER}", text)
    text = _IN_URL.sub(rf"\1{COVER}@", text)
    text = _ASSIGNED.sub(rf"\1\2{COVER}", text)
    return _ARGUMENT.sub(rf"\1{COVER}", text)


def redact_command(argv: Sequence[str]) -> tuple[str, ...]:
    """The words of a command, with the values of flags covered that are named like secrets."""
    pairs = zip(("", *argv), argv, strict=False)
    return tuple(COVER if _is_value(flag, word) else redact(word) for flag, word in pairs)


def _is_value(flag: str, word: str) -> bool:
    return re.fullmatch(_FLAG, flag, re.IGNORECASE) is not None and not word.startswith("-")


def redact_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables with the values of those covered that are named like secrets, or hold one."""
    return {name: COVER if value and _NAME.search(name) else redact(value) for name, value in environ.items()}
