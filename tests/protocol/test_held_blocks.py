from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.protocol.held_blocks import BLOCKS_A_MESSAGE, HeldBlocks, HeldView, held_view
from dynamo_cli.protocol.kv import Cleared, KvEvent, Removed, Stored

BLOCKS = st.lists(st.integers(0, 20), max_size=6)
TIERS = st.sampled_from(["device", "host", "disk"])
EVENTS = st.lists(st.one_of(st.builds(Stored, BLOCKS, TIERS), st.builds(Removed, BLOCKS, TIERS), st.builds(Cleared)))


def by_sets(events: list[KvEvent]) -> set[tuple[str, int]]:
    held: set[tuple[str, int]] = set()
    for event in events:
        if isinstance(event, Cleared):
            held.clear()
        elif isinstance(event, Stored):
            held |= {(event.tier, block) for block in event.hashes}
        else:
            held -= {(event.tier, block) for block in event.hashes}
    return held


@given(EVENTS)
def test_its_messages_build_what_the_events_added_up_to(events: list[KvEvent]) -> None:
    held = HeldBlocks()
    for event in events:
        held.apply(event)
    told = [event for message in held.events() for event in message]
    assert by_sets(told) == by_sets(events)
    assert len(held) == len(by_sets(events))


def test_messages_are_small_and_in_the_order_of_the_chain() -> None:
    held = HeldBlocks()
    blocks = list(range(3 * BLOCKS_A_MESSAGE + 1, 0, -1))
    held.apply(Stored(blocks))
    messages = held.events()
    assert [len(event.hashes) for message in messages for event in message if isinstance(event, Stored)] == [
        *[BLOCKS_A_MESSAGE] * 3,
        1,
    ]
    assert [block for [event] in messages if isinstance(event, Stored) for block in event.hashes] == blocks


def test_a_view_says_the_same_of_the_same_blocks_in_any_order() -> None:
    assert held_view([], listed=False) == HeldView(0, "0" * 16)
    assert (
        held_view([2**64 - 1, 1], listed=False)
        == held_view((1, 2**64 - 1), listed=False)
        == HeldView(2, "f" * 15 + "e")
    )
    assert held_view([18, 1], listed=True) == HeldView(2, "0" * 14 + "13", ["0" * 15 + "1", "0" * 14 + "12"])
