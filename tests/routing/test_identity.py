from __future__ import annotations

from dynamo_cli.protocol.instance import EndpointId, Instance, ModelCard, ModelIdentity
from dynamo_cli.routing.identity import agree

ENDPOINT = EndpointId("dynamo", "backend", "generate")


def card(number: int, digest: str = "a", block_size: int = 16, generation: int = 0) -> ModelCard:
    instance = Instance(ENDPOINT, number, "tcp://127.0.0.1:1")
    return ModelCard("m", ModelIdentity(digest, block_size), instance, generation=generation)


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


def test_a_newer_generation_takes_over_once_it_is_as_many() -> None:
    old, new = [card(n) for n in range(4)], [card(n, "b", generation=1) for n in range(10, 14)]
    a, b = old[0].identity, new[0].identity
    identity, accepted, refused = agree([*old[1:], *new[:2]], a)
    assert (identity, accepted) == (a, old[1:])
    assert {refusal.expected for refusal in refused} == {True} and "waits until as many" in refused[0].reason
    identity, accepted, refused = agree([*old[2:], *new[:2]], a)
    assert (identity, accepted) == (b, new[:2])
    assert {refusal.expected for refusal in refused} == {True} and "gives way to newer ones" in refused[0].reason
    assert agree([*old[1:], *new[:1]], b).identity == b, "it went back"


def test_who_comes_in_the_middle_decides_the_same() -> None:
    old, new = [card(n) for n in range(3)], [card(n, "b", generation=1) for n in range(10, 13)]
    assert agree([*new[:1], *old], None).identity == old[0].identity
    assert agree([*new, *old], None).identity == new[0].identity


def test_a_newer_generation_of_the_same_identity_is_one_with_the_others() -> None:
    cards = [card(1), card(2, generation=1), card(3, generation=2)]
    assert agree(cards, cards[0].identity) == (cards[0].identity, cards, [])


def test_among_those_of_one_generation_the_others_are_refused_as_before() -> None:
    cards = [card(1, generation=1), card(2, "b", generation=1), card(3, "b", generation=1)]
    identity, _, refused = agree(cards, cards[0].identity)
    assert identity == cards[0].identity and [refusal.expected for refusal in refused] == [False, False]
