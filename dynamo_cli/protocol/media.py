"""Images, audio and video in a conversation: OpenAI's content parts -> bytes, or the URL they are at."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import Any, Literal

import msgspec

from dynamo_cli.errors import InvalidRequest

MediaKind = Literal["image", "audio", "video"]
Scheme = Literal["https", "http", "file"]
SCHEMES: tuple[Scheme, ...] = ("https", "http", "file")
MOST_BYTES = 24 << 20
"""Of all media of a request together: it travels to the worker in one frame."""
PARTS: dict[str, MediaKind] = {"image_url": "image", "audio_url": "audio", "video_url": "video", "input_audio": "audio"}
"""What kind of media a content part holds, by its own kind."""
_SOURCE = "source"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


class Media(msgspec.Struct, omit_defaults=True):
    """`data` as it came, not decoded; empty as long as it must be fetched from `url`. `type`: MIME, if it was told."""

    kind: MediaKind
    data: bytes = b""
    url: str = ""
    type: str = ""

    @property
    def scheme(self) -> str:
        """Of its URL; "" when there is nothing to fetch."""
        return self.url.partition(":")[0].lower()


def media_part(part: dict[str, Any], where: str) -> dict[str, Any]:
    """The part as templates know it, with what it holds for `take_media`. Raises InvalidRequest naming the place."""
    name = part["type"]
    kind, where = PARTS[name], f"{where}.{name}"
    held = part.get(name)
    if name == "input_audio":
        if not isinstance(held, dict) or not isinstance(held.get("data"), str):
            raise InvalidRequest(f"{where}.data: want base64", f"{where}.data")
        form = held.get("format")
        if form is not None and not isinstance(form, str):
            raise InvalidRequest(f"{where}.format: want text, got {type(form).__name__}", f"{where}.format")
        media = Media(kind, _decoded(held["data"], f"{where}.data"), type=f"audio/{form}" if form else "")
    else:
        url = held.get("url") if isinstance(held, dict) else held
        if not isinstance(url, str):
            raise InvalidRequest(f"{where}.url: want a URL", f"{where}.url")
        media = _at(url, kind, f"{where}.url")
    return {"type": kind, _SOURCE: media}


def take_media(messages: list[dict[str, Any]]) -> list[tuple[str, Media]]:
    """What the parts of checked messages hold, in order, each with its place; only its kind stays in them."""
    return [
        (f"messages[{number}].content[{at}]", part.pop(_SOURCE))
        for number, message in enumerate(messages)
        if isinstance(message.get("content"), list)
        for at, part in enumerate(message["content"])
        if isinstance(part.get(_SOURCE), Media)
    ]


def without(kind: MediaKind, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages without their parts of this kind."""

    def bare(content: Any) -> Any:
        return [part for part in content if part["type"] != kind] if isinstance(content, list) else content

    return [{**message, "content": bare(message.get("content"))} for message in messages]


def _at(url: str, kind: MediaKind, where: str) -> Media:
    scheme = _SCHEME.match(url)
    name = scheme[1].lower() if scheme else ""
    if name == "data":
        head, comma, text = url[5:].partition(",")
        mime, _, coding = head.rpartition(";")
        if not comma or coding.strip().lower() != "base64":
            raise InvalidRequest(f"{where}: want data:TYPE;base64,...", where)
        return Media(kind, _decoded(text, where), type=mime.partition(";")[0].strip().lower())
    if name not in SCHEMES:
        raise InvalidRequest(f"{where}: want a data: or https: URL, not {url[:20]!r}", where)
    return Media(kind, url=url)


def _decoded(text: str, where: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"{where}: this is no base64", where) from None
    if not data:
        raise InvalidRequest(f"{where}: there is nothing in it", where)
    return data
