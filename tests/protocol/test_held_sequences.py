from __future__ import annotations

from dynamo_cli.protocol.held_sequences import HeldSequences
from dynamo_cli.protocol.sequences import PrefillCompleted, SequenceAdded, SequenceFreed


def test_the_sum_builds_the_same_state_and_keeps_nothing_that_has_ended() -> None:
    held = HeldSequences()
    first, moved = SequenceAdded("a", "r", 1, [5], 16), SequenceAdded("a", "r", 2, [5], 16)
    other, ended = SequenceAdded("b", "r", 1, [6], 16), SequenceAdded("a", "s", 1, [7], 16)
    for event in (PrefillCompleted("a", "r"), first, moved, other, ended, PrefillCompleted("a", "s")):
        held.apply(event)
    for event in (PrefillCompleted("a", "r"), PrefillCompleted("a", "r"), SequenceFreed("a", "s")):
        held.apply(event)
    held.apply(SequenceFreed("nobody", "r"))
    assert held.events() == [moved, PrefillCompleted("a", "r"), other]
    held.forget("a")
    assert held.events() == [other] and len(held) == 1
