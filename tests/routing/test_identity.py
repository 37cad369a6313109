from __future__ import annotations

from dynamo_cli.protocol.instance import EndpointId, Instance, ModelCard, ModelIdentity
from dynamo_cli.routing.identity import agree

ENDPOINT = EndpointId("dynamo", "backend", "generate")


def card(number: int, digest: str = "a", block_size: int = 16) -> ModelCard:
    return ModelCard("m", ModelIdentity(digest, block_size), Instance(ENDPOINT, number, "tcp://127.0.0.1:1"))


def test_the_first_card_decides() -> None:
    identity, accepted, refused = agree([card(1), card(2, "b"), card(3)], None)
    assert identity == card(1).identity
    assert accepted == [card(1), card(3)]
    (refusal,) = refused
    assert refusal.card == card(2, "b")
    assert refusal.reason == "worker 2 of model m is refused, it differs from the others in text_digest 'b' != 'a'"


def test_the_current_identity_stays_while_anyone_has_it() -> None:
    identity, accepted, _ = agree([card(2, "b"), card(1)], card(1).identity)
    assert (identity, accepted) == (card(1).identity, [card(1)])
    identity, accepted, refused = agree([card(2, "b")], card(1).identity)
    assert (identity, accepted, refused) == (card(2, "b").identity, [card(2, "b")], [])


def test_every_differing_field_is_named() -> None:
    _, _, (refusal,) = agree([card(1), card(2, "b", 32)], None)
    assert "text_digest" in refusal.reason
    assert "kv_block_size 32 != 16" in refusal.reason


def test_nobody_has_no_identity() -> None:
    assert agree([], card(1).identity) == (None, [], [])
