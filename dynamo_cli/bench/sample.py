"""One request as the client saw it: what arrived when, whether it was complete, and what follows from that."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import msgspec

from dynamo_cli.bench.answers import EventReader, Reply, Usage, error_message, error_text, reply_decoder
from dynamo_cli.runtime.http.response import Response

AT_ONCE = 32
"""So many socket reads are decoded together, which takes a quarter off the client's CPU; their times are their own."""


class Ask(NamedTuple):
    """What else a request wants of its answer: its text, and to be given up after so many pieces of it."""

    text: bool = False
    cancel_after: int = 0


@dataclass(slots=True)
class Sample:
    """Times are seconds since the request was written, at `started` of the clock. `error` is empty when the answer was
    complete or given up on purpose.

    `reads`: (time, events with content) of each socket read that carried any.
    """

    started: float = 0.0
    error: str = ""
    detail: str = ""
    e2e_s: float = 0.0
    ttft_s: float | None = None
    reads: list[tuple[float, int]] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    counted_by_usage: bool = False
    cancelled: bool = False
    worker: str = ""
    text: str = ""

    @property
    def tpot_s(self) -> float | None:
        """Time per output token after the first."""
        if self.ttft_s is None or self.completion_tokens < 2:
            return None
        return (self.e2e_s - self.ttft_s) / (self.completion_tokens - 1)

    def between_reads_s(self) -> list[float]:
        """The time before each read after the first."""
        times = [time for time, _ in self.reads]
        return [after - before for before, after in pairwise(times)]

    def inter_token_s(self) -> list[float]:
        """The time before each token after the first; the gap before a read is shared by the tokens it carried."""
        events = sum(count for _, count in self.reads)
        if not events:
            return []
        tokens_per_event = max(1.0, self.completion_tokens / events)
        gaps: list[float] = []
        before = self.reads[0][0]
        for position, (time, count) in enumerate(self.reads):
            tokens = round(count * tokens_per_event) - (position == 0)
            gaps += [(time - before) / max(1, tokens)] * tokens
            before = time
        return gaps


class Collector:
    """Makes a Sample of one response's body as it arrives."""

    def __init__(self, started: float, ask: Ask | None = None) -> None:
        self.response = Response()
        self.sample = Sample(started)
        self._ask = ask
        self._pieces: list[str] = []
        self._contents = 0
        self._started = started
        self._events = EventReader()
        self._unread: list[tuple[float, bytes]] = []
        self._at_once = 1 if ask is not None and ask.cancel_after else AT_ONCE
        self._whole: list[bytes] = []
        self._finished = False
        self._closed = False

    def feed(self, data: bytes, now: float) -> bool:
        """Take what a socket read gave; true when the response is complete. Raises BrokenResponse."""
        body = self.response.feed(data)
        if not body:
            return self.response.done
        if self.response.status == 200 and self.response.is_event_stream:
            self._unread.append((now - self._started, body))
            if self.response.done or len(self._unread) >= self._at_once:
                self._read_stream()
        else:
            self._whole.append(body)
        return self.response.done

    def fail(self, error: str, detail: str = "", now: float | None = None) -> Sample:
        """The first reason counts. `now`: when it was given up; without it `finish` is still to come."""
        sample = self.sample
        if now is not None:
            self._read_stream()
            sample.e2e_s = now - self._started
        if not sample.error:
            sample.error, sample.detail = error, detail
        return sample

    def finish(self, now: float) -> Sample:
        """The response is complete: judge it."""
        sample = self.sample
        sample.e2e_s = now - self._started
        self._read_stream()
        if self.response.status == 200 and not self.response.is_event_stream and not sample.error:
            self._take_whole()
        sample.text = "".join(self._pieces)
        if sample.error:
            return sample
        if sample.cancelled:
            sample.completion_tokens = self._contents
            return sample
        if self.response.status != 200:
            return self.fail(f"http {self.response.status}", error_message(b"".join(self._whole)))
        if not self.response.is_event_stream:
            return sample if self._finished else self.fail("answer without finish_reason")
        if not self._closed:
            return self.fail("stream without [DONE]")
        if not self._finished:
            return self.fail("stream without finish_reason")
        if not sample.counted_by_usage:
            sample.completion_tokens = self._contents
        if sample.ttft_s is None:
            sample.ttft_s = sample.e2e_s
        return sample

    def _read_stream(self) -> None:
        unread, self._unread = self._unread, []
        for at, body in unread:
            self._stream(body, at)

    def _stream(self, body: bytes, at: float) -> None:
        contents = 0
        for event in self._events.feed(body):
            if event == b"[DONE]":
                self._closed = True
                continue
            reply = self._decode(event)
            if reply is not None:
                contents += self._take(reply)
        if contents:
            self.sample.reads.append((at, contents))
            self._contents += contents
            if self.sample.ttft_s is None:
                self.sample.ttft_s = at
            if self._ask is not None and 0 < self._ask.cancel_after <= self._contents and not self._closed:
                self.sample.cancelled = True

    def _take(self, reply: Reply) -> bool:
        if reply.error is not None:
            self.fail("error event", error_text(reply.error))
        if reply.usage is not None:
            self._count(reply.usage)
        if reply.nvext is not None:
            self.sample.worker = reply.nvext.worker or self.sample.worker
        content = False
        for choice in reply.choices:
            self._finished = self._finished or choice.finish_reason is not None
            content = content or choice.has_content
        if self._ask is not None and self._ask.text:
            self._pieces += [choice.answer for choice in reply.choices[:1]]
        return content

    def _take_whole(self) -> None:
        reply = self._decode(b"".join(self._whole))
        if reply is not None:
            self._take(reply)

    def _decode(self, text: bytes) -> Reply | None:
        try:
            return reply_decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.fail("broken JSON", str(error))
            return None

    def _count(self, usage: Usage) -> None:
        self.sample.prompt_tokens = usage.prompt_tokens
        self.sample.completion_tokens = usage.completion_tokens
        self.sample.cached_tokens = usage.cached_tokens
        self.sample.counted_by_usage = True
