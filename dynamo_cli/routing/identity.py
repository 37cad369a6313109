"""Workers of one model must agree in identity; the others are refused, never mixed in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dynamo_cli.protocol.instance import ModelCard, ModelIdentity


class Refusal(NamedTuple):
    """A worker that is not used, and why in one line."""

    card: ModelCard
    reason: str


class Agreement(NamedTuple):
    identity: ModelIdentity | None
    accepted: list[ModelCard]
    refused: list[Refusal]


def agree(cards: Iterable[ModelCard], current: ModelIdentity | None) -> Agreement:
    """Keep the current identity while anyone has it; else the first card's counts."""
    cards = list(cards)
    identities = [card.identity for card in cards]
    if not cards:
        return Agreement(None, [], [])
    identity = current if current is not None and current in identities else identities[0]
    accepted = [card for card in cards if card.identity == identity]
    refused = [Refusal(card, difference(card, identity)) for card in cards if card.identity != identity]
    return Agreement(identity, accepted, refused)


def difference(card: ModelCard, identity: ModelIdentity) -> str:
    """One line that names every identity field in which `card` differs."""
    fields = [name for name in identity.__struct_fields__ if getattr(card.identity, name) != getattr(identity, name)]
    details = ", ".join(f"{name} {getattr(card.identity, name)!r} != {getattr(identity, name)!r}" for name in fields)
    return f"worker {card.instance.hex_id} of model {card.name} is refused, it differs from the others in {details}"
