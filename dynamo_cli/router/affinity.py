"""Requests of one session to one worker."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from dynamo_cli.errors import UsageError

AffinityMode = Literal["hard", "soft"]
AFFINITY_MODES: tuple[AffinityMode, ...] = ("hard", "soft")

SHORTEST_TTL_S = 1
LONGEST_TTL_S = 31_536_000


class _Binding:
    __slots__ = ("expires", "requests", "worker")

    def __init__(self, worker: int, expires: float) -> None:
        self.worker = worker
        self.requests = 0
        self.expires = expires


class SessionAffinity:
    """A session is bound to the worker of its first request until it has had no request for `ttl_s` seconds.

    `hard`: the worker is used whenever it is a candidate. `soft`: unless waiting there takes longer than computing
    the prompt anew elsewhere (see `prefers`). A worker that cannot take a request of a session loses it.
    """

    def __init__(self, ttl_s: float, mode: AffinityMode = "soft") -> None:
        """Raises UsageError for a time that is no time for a session."""
        if not SHORTEST_TTL_S <= ttl_s <= LONGEST_TTL_S:
            raise UsageError(f"session affinity of {ttl_s:g} s: give {SHORTEST_TTL_S} to {LONGEST_TTL_S} seconds")
        self.mode: AffinityMode = mode
        self._ttl_s = ttl_s
        self._bindings: dict[str, _Binding] = {}

    def __len__(self) -> int:
        return len(self._bindings)

    def worker(self, session: str, candidates: Collection[int], now: float) -> int | None:
        """Who has the session, if it is one of `candidates`; otherwise it is free again."""
        self._expire(now)
        binding = self._bindings.get(session)
        if binding is None:
            return None
        if (binding.requests or now < binding.expires) and binding.worker in candidates:
            return binding.worker
        del self._bindings[session]
        return None

    def prefers(self, queued: int, least_queued: int, tokens: int) -> bool:
        """Whether a session stays where `queued` prompt tokens wait, when elsewhere it is `least_queued`."""
        return self.mode == "hard" or queued - least_queued <= tokens

    def started(self, session: str, worker: int, now: float) -> None:
        """A request of the session goes to this worker."""
        binding = self._bindings.pop(session, None)
        if binding is None or binding.worker != worker:
            binding = _Binding(worker, now)
        binding.requests += 1
        binding.expires = now + self._ttl_s
        self._bindings[session] = binding

    def ended(self, session: str, worker: int, now: float) -> None:
        """A request of the session has ended there: the idle time begins anew."""
        binding = self._bindings.get(session)
        if binding is not None and binding.worker == worker:
            del self._bindings[session]
            binding.requests = max(0, binding.requests - 1)
            binding.expires = now + self._ttl_s
            self._bindings[session] = binding

    def close(self, session: str) -> None:
        self._bindings.pop(session, None)

    def remove_worker(self, worker: int) -> None:
        """The worker has failed or gone: its sessions are free."""
        for session in [session for session, one in self._bindings.items() if one.worker == worker]:
            del self._bindings[session]

    def _expire(self, now: float) -> None:
        """Bindings lie in the order of their last use, so only old ones are looked at."""
        while self._bindings:
            session, oldest = next(iter(self._bindings.items()))
            if now < oldest.expires:
                return
            del self._bindings[session]
            if oldest.requests:
                oldest.expires = now + self._ttl_s
                self._bindings[session] = oldest
