"""How far a request is, whichever workers brought it there."""

from __future__ import annotations

from abc import ABC, abstractmethod

from msgspec.structs import replace

from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage


class Progress(ABC):
    __slots__ = ("_elsewhere", "request")

    def __init__(self, request: EngineRequest) -> None:
        self.request = request
        self._elsewhere = 0

    @property
    @abstractmethod
    def count(self) -> int:
        """The tokens there are; of a worker that answers in text, the deltas with text."""

    @abstractmethod
    def add(self, deltas: list[Delta]) -> None: ...

    @property
    def complete(self) -> bool:
        """Only the word that it is over is missing."""
        most = self.request.stop.max_tokens
        return most is not None and self.count >= most

    @property
    def needs(self) -> int:
        """The tokens a context must hold for the whole request."""
        most = self.request.stop.max_tokens
        return len(self.request.token_ids) + (self.count + 1 if most is None else most)

    def rest(self) -> EngineRequest:
        """What to ask of the next worker."""
        done = self._elsewhere = self.count
        if not done:
            return self.request
        stop = self.request.stop
        most = None if stop.max_tokens is None else stop.max_tokens - done
        stop = replace(stop, max_tokens=most, min_tokens=max(0, stop.min_tokens - done))
        return self._continued(replace(self.request, generated=done, stop=stop))

    def usage(self, reported: EngineUsage | None) -> EngineUsage:
        """That of the whole request; `reported` is the last worker's own, of its share.

        What the others had in their caches is not known: it comes with the end, which they did not live to see.
        """
        prompt = len(self.request.token_ids)
        if reported is None:
            return EngineUsage(prompt, self.count)
        prompt = prompt or reported.prompt_tokens
        total, cached = self._elsewhere + reported.completion_tokens, min(reported.cached_tokens, prompt)
        return replace(reported, prompt_tokens=prompt, completion_tokens=total, cached_tokens=cached)

    @property
    def moved(self) -> bool:
        """Some of it came from another worker."""
        return self._elsewhere > 0

    @abstractmethod
    def clear(self) -> None:
        """Begin anew."""

    @abstractmethod
    def _continued(self, request: EngineRequest) -> EngineRequest: ...


class TokenProgress(Progress):
    __slots__ = ("_ids",)

    def __init__(self, request: EngineRequest) -> None:
        super().__init__(request)
        self._ids: list[int] = []

    @property
    def count(self) -> int:
        return len(self._ids)

    def add(self, deltas: list[Delta]) -> None:
        ids = self._ids
        for delta in deltas:
            ids += delta.token_ids

    def clear(self) -> None:
        self._ids = []

    def _continued(self, request: EngineRequest) -> EngineRequest:
        request.token_ids = request.token_ids + self._ids
        return request


class TextProgress(Progress):
    __slots__ = ("_count",)

    def __init__(self, request: EngineRequest) -> None:
        super().__init__(request)
        self._count = 0

    @property
    def count(self) -> int:
        return self._count

    def add(self, deltas: list[Delta]) -> None:
        self._count += sum(bool(delta.text) for delta in deltas)

    def clear(self) -> None:
        self._count = 0

    def _continued(self, request: EngineRequest) -> EngineRequest:
        return request


def progress_of(request: EngineRequest) -> Progress:
    return TokenProgress(request) if request.token_ids else TextProgress(request)
