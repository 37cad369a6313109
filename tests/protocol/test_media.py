"""Content parts that are not text: read as they are, or refused with their place."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.decode import decode_chat
from dynamo_cli.protocol.media import Media, take_media, without


def chat(*parts: Any) -> Any:
    messages = [{"role": "user", "content": [{"type": "text", "text": "See:"}, *parts]}]
    return decode_chat(msgspec.json.encode({"model": "m", "messages": messages})).messages


def data_url(data: bytes, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{b64encode(data).decode()}"


@given(st.binary(min_size=1))
def test_data_comes_as_it_was_sent(data: bytes) -> None:
    encoded = b64encode(data).decode()
    messages = chat(
        {"type": "image_url", "image_url": {"url": data_url(data), "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": encoded, "format": "wav"}},
        {"type": "video_url", "video_url": "https://a.example/b.mp4"},
    )
    media = take_media(messages)
    assert [where for where, _ in media] == [f"messages[0].content[{at}]" for at in (1, 2, 3)]
    assert [one for _, one in media] == [
        Media("image", data, type="image/png"),
        Media("audio", data, type="audio/wav"),
        Media("video", url="https://a.example/b.mp4"),
    ]
    text = {"type": "text", "text": "See:"}
    assert messages[0]["content"] == [text, {"type": "image"}, {"type": "audio"}, {"type": "video"}]
    assert without("audio", messages)[0]["content"] == [text, {"type": "image"}, {"type": "video"}]
    assert take_media(messages) == []


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"type": "image_url"}, "image_url.url: want a URL"),
        ({"type": "image_url", "image_url": {"url": 3}}, "image_url.url: want a URL"),
        ({"type": "image_url", "image_url": {"url": "/etc/passwd"}}, "want a data: or https: URL, not '/etc/passwd'"),
        ({"type": "image_url", "image_url": {"url": "ftp://a/b"}}, "want a data: or https: URL, not 'ftp://a/b'"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,abc"}}, "want data:TYPE;base64"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,a!b="}}, "this is no base64"),
        ({"type": "image_url", "image_url": {"url": "data:;base64,"}}, "there is nothing in it"),
        ({"type": "input_audio", "input_audio": {"format": "wav"}}, "input_audio.data: want base64"),
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": 3}}, "input_audio.format: want text"),
        ({"type": "hologram", "hologram": "x"}, "there is no part of type 'hologram'"),
    ],
)
def test_what_is_wrong_is_named(part: Any, why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(part)
    assert str(caught.value).startswith("messages[0].content[1]") and why in str(caught.value)
    assert (caught.value.param or "").startswith("messages[0].content[1]")
