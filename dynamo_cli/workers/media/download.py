"""Media from other servers. Apart, because few workers ever need a client for HTTP."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import httpx

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.media import Media
from dynamo_cli.workers.media.options import MediaOptions, too_large

MOST_REDIRECTS = 3


async def download(media: Media, options: MediaOptions) -> tuple[bytes, str]:
    """What is at its URL, and the MIME type the server tells; redirects are followed, and judged as the URL is.

    Each address is looked up once, judged, and then connected to: no other answer of the name server counts. Raises
    InvalidRequest.
    """
    try:
        return await _followed(media, httpx.URL(media.url), options)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InvalidRequest(f"{media.kind}: it cannot be fetched: {error or type(error).__name__}") from None


async def _followed(media: Media, url: httpx.URL, options: MediaOptions) -> tuple[bytes, str]:
    async with httpx.AsyncClient(trust_env=False, timeout=options.timeout_s) as client:
        for _ in range(MOST_REDIRECTS + 1):
            if url.scheme not in options.schemes or not url.host:
                raise InvalidRequest(f"{media.kind}: this worker fetches nothing from {url.scheme or 'such'}: URLs")
            address = await _address(media, url, options)
            asked = client.build_request(
                "GET",
                url.copy_with(host=address),
                headers={"host": url.netloc.decode("ascii").rpartition("@")[2]},
                extensions={"sni_hostname": url.host},
            )
            answer = await client.send(asked, stream=True)
            try:
                if answer.has_redirect_location:
                    url = url.join(answer.headers["location"])
                    continue
                if answer.status_code != 200:
                    raise InvalidRequest(f"{media.kind}: its server answered {answer.status_code}")
                mime = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                return await _body(media, answer, options), mime
            finally:
                await answer.aclose()
    raise InvalidRequest(f"{media.kind}: it is redirected more than {MOST_REDIRECTS} times")


async def _body(media: Media, answer: httpx.Response, options: MediaOptions) -> bytes:
    data = bytearray()
    async for piece in answer.aiter_bytes():
        data += piece
        if len(data) > options.most_bytes:
            raise too_large(media, options)
    return bytes(data)


async def _address(media: Media, url: httpx.URL, options: MediaOptions) -> str:
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InvalidRequest(f"{media.kind}: there is no host {url.host}") from None
    addresses = [str(one[4][0]).partition("%")[0] for one in found]
    if not options.internal and not all(map(_is_public, addresses)):
        raise InvalidRequest(f"{media.kind}: {url.host} is not a public address")
    return addresses[0]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_global and not parsed.is_multicast
