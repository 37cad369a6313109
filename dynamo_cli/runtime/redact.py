"""Secrets are not for logs, plans and reports: what looks like one, or is named like one, is covered."""

from __future__ import annotations

import re
from collections.abc import Mapping

COVER = "***"
_NAMED = r"(?:token|secret|password|passwd|api[_-]?key|access[_-]?key|credentials?)"
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_-]{8,}|nvapi-[A-Za-z0-9_-]{8,}|gh[pousr]_[A-Za-z0-9]{8,}"
    r"|AKIA[A-Z0-9]{12,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+)"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_IN_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+@")
_ASSIGNED = re.compile(rf"(?i)(--?[a-z0-9-]*{_NAMED}|\b[a-z0-9_]*{_NAMED})(['\"]?\s*[=:]\s*['\"]?)([^\s'\",;&}}]+)")
_ARGUMENT = re.compile(rf"(?i)(--[a-z0-9-]*{_NAMED}\s+)(?!-)(\S+)")
_NAME = re.compile(rf"(?i)(?:{_NAMED}|_key|_pat)$")


def redact(text: str) -> str:
    """`text` with every secret in it covered. Idempotent."""
    text = _TOKENS.sub(COVER, text)
    text = _BEARER.sub(rf"\1 {COVER}", text)
    text = _IN_URL.sub(rf"\1{COVER}@", text)
    text = _ASSIGNED.sub(rf"\1\2{COVER}", text)
    return _ARGUMENT.sub(rf"\1{COVER}", text)


def redact_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables with the values of those covered that are named like secrets, or hold one."""
    return {name: COVER if value and _NAME.search(name) else redact(value) for name, value in environ.items()}
