from __future__ import annotations

from dynamo_cli.routing.service.unconfirmed import TTL_S, Unconfirmed


def test_what_is_confirmed_in_time_does_not_expire() -> None:
    held = Unconfirmed()
    held.add(("f", "a"), 1, 0.0)
    held.add(("f", "b"), 2, 0.5)
    assert len(held) == 2 and ("f", "a") in held
    assert held.confirm(("f", "a")) == 1
    assert held.confirm(("f", "a")) is None
    assert held.take_expired(TTL_S) == []
    assert held.take_expired(TTL_S + 0.5) == [("f", "b")]
    assert (len(held), held.expired) == (0, 1)


def test_what_is_asked_about_again_has_its_time_anew() -> None:
    held = Unconfirmed()
    held.add(("f", "a"), 1, 0.0)
    held.add(("f", "b"), 1, 0.0)
    held.add(("f", "a"), 2, 1.0)
    assert held.take_expired(TTL_S) == [("f", "b")]
    assert held.confirm(("f", "a")) == 2


def test_a_router_that_is_gone_takes_its_own_along() -> None:
    held = Unconfirmed()
    held.add(("f", "a"), 1, 0.0)
    held.add(("g", "a"), 1, 0.0)
    held.forget("f")
    assert held.take_expired(TTL_S) == [("g", "a")]
