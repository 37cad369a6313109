"""Workers of one model must agree in identity; the others are refused, never mixed in.

Whoever changes a running deployment gives the workers it starts a higher generation. If they differ in identity it is
on purpose, and requests go over to them all at once: as soon as they are as many as those that serve now.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dynamo_cli.protocol.instance import ModelCard, ModelIdentity


class Refusal(NamedTuple):
    """A worker that is not used, and why in one line. `expected`: it is so on purpose, for a while."""

    card: ModelCard
    reason: str
    expected: bool = False

    @property
    def service(self) -> str:
        """The supervisor's name of the worker, else its id as discovery writes it."""
        return self.card.instance.service or self.card.instance.hex_id


class Agreement(NamedTuple):
    identity: ModelIdentity | None
    accepted: list[ModelCard]
    refused: list[Refusal]


def agree(cards: Iterable[ModelCard], current: ModelIdentity | None) -> Agreement:
    """Keep the current identity while anyone has it; else the first card's of the oldest generation counts.

    That of the newest generation takes its place once at least as many workers have it.
    """
    cards = list(cards)
    if not cards:
        return Agreement(None, [], [])
    if current is None or all(card.identity != current for card in cards):
        current = min(cards, key=_generation).identity
    identity = _next(cards, current) or current
    accepted = [card for card in cards if card.identity == identity]
    latest = max(map(_generation, accepted))
    refused = [_refusal(card, identity, latest) for card in cards if card.identity != identity]
    return Agreement(identity, accepted, refused)


def agree_with(cards: Iterable[ModelCard], identity: ModelIdentity) -> Agreement:
    """Keep those that have this identity, which others have decided."""
    cards = list(cards)
    latest = max(map(_generation, cards), default=0)
    refused = [_refusal(card, identity, latest) for card in cards if card.identity != identity]
    return Agreement(identity, [card for card in cards if card.identity == identity], refused)


def difference(card: ModelCard, identity: ModelIdentity) -> str:
    """Every identity field in which `card` differs."""
    fields = [name for name in identity.__struct_fields__ if getattr(card.identity, name) != getattr(identity, name)]
    return ", ".join(f"{name} {getattr(card.identity, name)!r} != {getattr(identity, name)!r}" for name in fields)


def _next(cards: list[ModelCard], current: ModelIdentity) -> ModelIdentity | None:
    newest = max(cards, key=_generation)
    serving = [card for card in cards if card.identity == current]
    if newest.identity == current or newest.generation <= max(map(_generation, serving)):
        return None
    return newest.identity if sum(card.identity == newest.identity for card in cards) >= len(serving) else None


def _refusal(card: ModelCard, identity: ModelIdentity, latest: int) -> Refusal:
    who, how = f"worker {card.instance.hex_id} of model {card.name}", difference(card, identity)
    if card.generation == latest:
        return Refusal(card, f"{who} is refused, it differs from the others in {how}")
    if card.generation > latest:
        return Refusal(card, f"{who} waits until as many are like it as serve now, it differs in {how}", expected=True)
    return Refusal(card, f"{who} gives way to newer ones, it differs from them in {how}", expected=True)


def _generation(card: ModelCard) -> int:
    return card.generation
