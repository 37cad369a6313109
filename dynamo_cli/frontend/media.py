"""The media of a chat: refused unless every worker of the model takes them."""

from __future__ import annotations

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.frontend.models import ServedModel
from dynamo_cli.protocol.media import MOST_BYTES, Media, take_media
from dynamo_cli.protocol.openai import ChatRequest


def taken_media(model: ServedModel, request: ChatRequest) -> list[Media]:
    """Those of the messages, in order; in these only their places are left. Raises InvalidRequest naming the place."""
    found = take_media(request.messages)
    for where, media in found:
        _check(model, media, where)
    if sum(len(media.data) for _, media in found) > MOST_BYTES:
        raise InvalidRequest(f"messages: images, audio and video have more than {MOST_BYTES >> 20} MiB", "messages")
    return [media for _, media in found]


def _check(model: ServedModel, media: Media, where: str) -> None:
    cards = model.routed.cards.values()
    if not all(media.kind in card.modalities for card in cards):
        raise InvalidRequest(f"{where}: model {model.name} takes no {media.kind}", where)
    if media.url and not all(media.scheme in card.fetches for card in cards):
        raise InvalidRequest(
            f"{where}: the workers of model {model.name} fetch nothing from {media.scheme}: URLs; send a data: URL",
            where,
        )
