"""Chats with images, audio and video: passed on in order, counted in, refused where no worker takes them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.protocol.instance import ModelIdentity
from dynamo_cli.protocol.media import MOST_BYTES
from dynamo_cli.runtime.context import Context
from tests.frontend.toy import MODEL, Deployment

SEES = (
    "{% for m in messages %}{{ m.role[0] }}:{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{% if part.type == 'image' %}<I>{% elif part.type == 'text' %}{{ part.text }}"
    "{% endif %}{% endfor %}{% endif %};{% endfor %}"
)


async def tells(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
    """In text: what media there are, and what the prompt is."""
    media = ",".join(f"{one.kind}:{len(one.data) or one.url}:{one.type}" for one in request.media)
    said = request.messages[-1]["content"] if request.messages else bytes(map(_letter, request.token_ids)).decode()
    letters = [ord(letter) for letter in f"{media}|{said}"]
    if request.messages:
        yield Delta(text=f"{media}|{said}", finish_reason="stop", usage=EngineUsage(1, 1))
    else:
        yield Delta([_token(letter) for letter in letters], "stop", usage=EngineUsage(99, len(letters)))


def _letter(token: int) -> int:
    return token + 33


def _token(letter: int) -> int:
    return letter - 33


def picture(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(data).decode()}"}}


SOUND = {"type": "input_audio", "input_audio": {"data": b64encode(b"12").decode(), "format": "wav"}}
FAR = {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


async def ask(http: httpx.AsyncClient, *parts: Any) -> httpx.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": list(parts)}]}
    return await http.post("/v1/chat/completions", json=body)


async def served(bare: Deployment, template: str = SEES, **can: Any) -> httpx.AsyncClient:
    (bare.bundle / "chat_template.jinja").write_text(template)
    await bare.start()
    await bare.add_worker(tells, **can)
    await bare.ready()
    return httpx.AsyncClient(base_url=bare.url, trust_env=False)


async def said(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


async def test_each_comes_to_the_worker_in_its_place(bare: Deployment) -> None:
    async with await served(bare, modalities=("image",), fetches=("https",)) as http:
        answer = await ask(http, text("A"), picture(b"123"), text("B"), FAR)
        assert await said(answer) == "image:3:image/png,image:https://a.example/x.png:|u:A<I>B<I>;"
        assert answer.json()["usage"]["prompt_tokens"] == 99, "the engine knows what an image takes"
        assert await said(await ask(http, text("A"))) == "|u:A;", "text is as it always was"
        counted = await http.post("/tokenize", json={"messages": [{"role": "user", "content": [picture(b"1")]}]})
        assert counted.json()["count"] == len("u:<I>;")


async def test_a_worker_that_takes_text_gets_them_beside_it(bare: Deployment) -> None:
    identity = ModelIdentity(input="text")
    async with await served(bare, identity=identity, modalities=("image", "audio")) as http:
        answer = await ask(http, picture(b"123"), text("What"), SOUND, text("is this?"))
        assert await said(answer) == "image:3:image/png,audio:2:audio/wav|What\nis this?"


@pytest.mark.parametrize(
    ("part", "can", "why"),
    [
        (picture(b"1"), {}, f"messages[0].content[1]: model {MODEL} takes no image"),
        (SOUND, {"modalities": ("image",)}, f"messages[0].content[1]: model {MODEL} takes no audio"),
        (FAR, {"modalities": ("image",)}, f"messages[0].content[1]: the workers of model {MODEL} fetch nothing from"),
        (SOUND, {"modalities": ("audio",)}, f"messages: the chat template of model {MODEL} has no place for audio"),
        (picture(b"1" * (MOST_BYTES + 1)), {"modalities": ("image",)}, "messages: images, audio and video have more"),
    ],
)  # fmt: skip
async def test_what_cannot_be_passed_on_is_one_line(
    bare: Deployment, part: dict[str, Any], can: dict[str, Any], why: str
) -> None:
    async with await served(bare, **can) as http:
        refused = await ask(http, text("A"), part)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith(why)


async def test_a_template_of_text_alone_says_so(bare: Deployment) -> None:
    plain = "{% for m in messages %}{{ m.content }};{% endfor %}"
    async with await served(bare, plain, modalities=("image",)) as http:
        refused = await ask(http, picture(b"1"))
    assert refused.status_code == 400
    assert "messages[0].content[0]: this model takes text only, not image" in refused.text


async def test_all_workers_must_take_them(bare: Deployment) -> None:
    async with await served(bare, modalities=("image",)) as http:
        await bare.add_worker(tells)
        await bare.ready(2)
        assert (await ask(http, picture(b"1"))).status_code == 400
