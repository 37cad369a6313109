from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.protocol.sequences import SequenceEvent
from dynamo_cli.router.active import ActiveSequences, Share
from tests.router.index.model import Chains

PROMPT = list(range(100, 110))


def figures(active: ActiveSequences) -> tuple[dict, dict, dict, dict]:
    return active.requests, active.prefill_tokens, active.blocks, active.generated


def test_the_life_of_a_request() -> None:
    active = ActiveSequences(16)
    active.add("r", 1, PROMPT, 170, overlap_blocks=4)
    assert figures(active) == ({1: 1}, {1: 170 - 64}, {1: 10}, {})
    active.first_token("r")
    active.first_token("r")
    assert figures(active) == ({1: 1}, {}, {1: 10}, {})
    active.free("r")
    active.free("r")
    assert figures(active) == ({}, {}, {}, {})


def test_shared_blocks_are_counted_once_for_each_worker() -> None:
    active = ActiveSequences(16)
    active.add("a", 1, PROMPT, 160)
    active.add("b", 1, [*PROMPT[:6], 7, 8], 128)
    active.add("c", 2, PROMPT[:3], 48)
    assert active.blocks == {1: 12, 2: 3}
    assert active.overlaps(PROMPT) == {1: 10, 2: 3}
    active.free("a")
    assert active.blocks == {1: 8, 2: 3}


def test_a_request_that_is_added_again_has_moved() -> None:
    active = ActiveSequences(16)
    active.add("r", 1, PROMPT, 160)
    active.add("r", 2, PROMPT, 160)
    assert figures(active) == ({2: 1}, {2: 160}, {2: 10}, {})


def test_generated_blocks_weigh_less_as_the_expected_end_comes_near() -> None:
    active = ActiveSequences(16)
    active.add("known", 1, PROMPT, 160, expected_output=128)
    active.add("unknown", 2, PROMPT, 160)
    for request in ("known", "unknown", "nobody"):
        active.output(request, 64)
    assert active.generated == {1: 2.0, 2: 4.0}
    active.output("known", 200)
    assert active.generated[1] == 0.0
    active.free("known")
    active.free("unknown")
    assert figures(active) == ({}, {}, {}, {})


def test_lost_requests_are_forgotten_after_five_minutes_of_silence() -> None:
    active = ActiveSequences(16)
    active.add("silent", 1, PROMPT, 160, now=0.0)
    active.add("spoken", 1, PROMPT, 160, now=0.0)
    active.first_token("spoken", now=200.0)
    assert active.sweep(300.0) == []
    assert active.sweep(330.0) == []  # looks once a minute
    assert active.sweep(361.0) == ["silent"]
    assert "spoken" in active and active.requests == {1: 1}


def test_what_another_router_said_counts_until_that_one_takes_it_back() -> None:
    told: list[SequenceEvent] = []
    here, there = ActiveSequences(16, router="here", publish=told.append), ActiveSequences(16, router="there")
    here.add("r", 1, PROMPT, 160, now=0.0)
    here.add("s", 2, PROMPT, 160, now=0.0)
    there.add("r", 1, PROMPT, 160, now=0.0)
    for event in told:
        there.hear(event, 0.0)
    there.remove_worker(1)
    assert there.sweep(1000.0) == []
    assert figures(there) == figures(here)
    there.forget("nobody")
    here.remove_worker(1)
    assert here.sweep(1000.0) == ["s"]
    for event in told:
        there.hear(event, 0.0)
    assert figures(there) == ({}, {}, {}, {})


def test_shares_say_who_sent_what() -> None:
    told: list[SequenceEvent] = []
    here, there = ActiveSequences(16, router="here", publish=told.append), ActiveSequences(16, router="there")
    here.add("a", 1, PROMPT, 160, overlap_blocks=4)
    here.add("b", 1, PROMPT, 160)
    here.first_token("b")
    there.add("a", 1, PROMPT, 160)
    for event in told:
        there.hear(event, 0.0)
    assert there.shares(1) == {"here": Share(2, 96), "there": Share(1, 160)}
    assert there.shares(2) == {}


def test_what_is_in_flight_can_be_told_again() -> None:
    here = ActiveSequences(16, router="here")
    here.add("a", 1, PROMPT, 160, overlap_blocks=4)
    here.add("b", 2, PROMPT, 160, expected_output=9)
    here.first_token("b")
    copy, third = ActiveSequences(16, router="copy"), ActiveSequences(16, router="third")
    for event in here.told():
        copy.hear(event, 0.0)
    assert figures(copy) == figures(here) and copy.told() == [] and here.heard() == []
    for event in copy.heard():
        third.hear(event, 0.0)
    assert figures(third) == figures(here) and third.heard() == here.told()


def test_a_worker_that_is_gone_has_nothing_in_flight() -> None:
    active = ActiveSequences(16)
    active.add("a", 1, PROMPT, 160)
    active.add("b", 2, PROMPT, 160)
    active.remove_worker(1)
    active.first_token("a")
    active.free("a")
    assert figures(active) == ({2: 1}, {2: 160}, {2: 10}, {})


@given(st.integers(0, 1 << 30), st.booleans())
def test_every_counter_is_gone_when_idle_whatever_was_called_when(seed: int, lost_words: bool) -> None:
    """Two routers tell each other; repeated, late and unknown calls among them. Heard figures equal told ones."""
    rng = random.Random(seed)
    chains, told = Chains(rng, longest=40), list[SequenceEvent]()
    here = ActiveSequences(16, router="here", publish=told.append)
    there = ActiveSequences(16, router="there")
    names = [str(number) for number in range(12)]
    for _ in range(120):
        name, act = rng.choice(names), rng.random()
        if act < 0.4:
            prompt = chains.prompt()
            overlap, output = rng.randrange(len(prompt) + 2), rng.choice((0, 100))
            here.add(name, rng.randrange(4), prompt, len(prompt) * 16 + 3, overlap, output, 0.0)
        elif act < 0.6:
            here.first_token(name, 1.0)
        elif act < 0.7:
            here.output(name, rng.randrange(200), 1.0)
        elif act < 0.72:
            here.remove_worker(rng.randrange(4))
        else:
            here.free(name)
        for event in told:
            assert not here.hear(event, 0.0)
            for _ in range(rng.choice((0, 1, 2)) if lost_words else 1):
                there.hear(event, 0.0)
        told.clear()
        workers = {sequence.worker for sequence in here._sequences.values()}
        assert set(here.requests) == workers >= set(here.prefill_tokens) | set(here.blocks) | set(here.generated)
        assert all(count > 0 for counters in figures(here)[:3] for count in counters.values())
    for name in names:
        here.free(name)
        here.first_token(name)
    assert figures(here) == ({}, {}, {}, {}) and not here._prefixes
    there.forget("here")
    assert figures(there) == ({}, {}, {}, {}) and not there._prefixes


def test_what_a_router_hears_is_what_the_other_counts() -> None:
    told: list[SequenceEvent] = []
    here = ActiveSequences(16, router="here", publish=told.append)
    there = ActiveSequences(16, router="there")
    there.add("r", 1, PROMPT, 160)
    here.add("r", 1, PROMPT[:4], 64, 2)
    here.add("s", 2, PROMPT, 160, 2)
    here.first_token("s")
    for event in told:
        there.hear(event, 0.0)
    assert figures(there) == ({1: 2, 2: 1}, {1: 160 + 32}, {1: 10, 2: 10}, {})
    told.clear()
    here.free("r")
    here.free("s")
    for event in told * 2:
        there.hear(event, 0.0)
    assert figures(there) == ({1: 1}, {1: 160}, {1: 10}, {})
