"""Media by URL -> bytes, within what is allowed: a URL of a stranger must not reach what only this machine can."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.media import Media
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.within import within
from dynamo_cli.workers.embedding import Answering
from dynamo_cli.workers.media.options import MediaOptions, too_large


def fetching(answer: Answering, options: MediaOptions) -> Answering:
    """How the engine is asked, once all that the request names is there."""

    async def fetched(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        asking = asyncio.gather(*(fetch(one, options) for one in request.media))
        context.on_stop(lambda: _give_up(asking))
        try:
            media = await asking
        except asyncio.CancelledError:
            if not context.stopped:
                raise
            yield Delta(finish_reason="cancelled")
            return
        async for delta in answer(replace(request, media=media), context):
            yield delta

    return fetched


def _give_up(asking: asyncio.Future[list[Media]]) -> None:
    asking.cancel()


async def fetch(media: Media, options: MediaOptions) -> Media:
    """With its data. Raises InvalidRequest for what may not be fetched, or cannot."""
    if not media.url:
        return media
    if media.scheme not in options.schemes:
        raise InvalidRequest(f"{media.kind}: this worker fetches nothing from {media.scheme}: URLs; send data:")
    if media.scheme == "file":
        return replace(media, data=await asyncio.to_thread(_read, media, options), url="")
    from dynamo_cli.workers.media.download import download

    try:
        data, mime = await within(options.timeout_s, download(media, options))
    except asyncio.TimeoutError:
        raise InvalidRequest(f"{media.kind}: its server took more than {options.timeout_s:g} s") from None
    return replace(media, data=data, url="", type=media.type or mime)


def _read(media: Media, options: MediaOptions) -> bytes:
    """Links may not lead out of the directory."""
    try:
        path = _allowed_path(media, options)
        if not os.path.isfile(path):
            raise FileNotFoundError
        with open(path, "rb") as file:
            data = file.read(options.most_bytes + 1)
    except (OSError, ValueError):
        raise InvalidRequest(f"{media.kind}: the file cannot be read") from None
    if len(data) > options.most_bytes:
        raise too_large(media, options)
    return data


def _allowed_path(media: Media, options: MediaOptions) -> str:
    assert options.directory is not None
    url = urlsplit(media.url)
    path, allowed = os.path.realpath(unquote(url.path)), os.path.realpath(options.directory)
    if url.netloc not in ("", "localhost") or os.path.commonpath([path, allowed]) != allowed:
        raise InvalidRequest(f"{media.kind}: the file is outside of what this worker may read")
    return path
