"""The queues between vLLM's own processes, on a machine whose cores the model needs.

A reader spins for a second after each message, which is all the time while there are requests, and burns a core. Then
it sleeps until a notification comes, which is lost now and then on a busy machine; it looks again after five seconds.
"""

from __future__ import annotations

from typing import Any

VARIABLE = "DYNAMO_VLLM_CALM_QUEUES"
"""For vLLM's processes: set, readers sleep until a notification comes."""
LOOK_AGAIN_MS = 10


def calm_queues() -> None:
    """In a process of vLLM, before it makes its queues. A version that has others keeps them as they are."""
    from vllm.distributed.device_communicators import shm_broadcast

    condition: Any = getattr(shm_broadcast, "SpinCondition", None)
    if condition is None or not hasattr(shm_broadcast, "SHM_READER_RECHECK_INTERVAL_MS"):
        return
    shm_broadcast.SHM_READER_RECHECK_INTERVAL_MS = LOOK_AGAIN_MS
    began = condition.__init__

    def begin(self: Any, *args: Any, **named: Any) -> None:
        began(self, *args, **named)
        self.busy_loop_s = 0.0

    condition.__init__ = begin
