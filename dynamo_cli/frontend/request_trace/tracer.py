"""Takes requests that are over from the event loop and writes their records in a thread."""

from __future__ import annotations

import logging
import queue
import threading
import time

from dynamo_cli.frontend.record import Record
from dynamo_cli.frontend.request_trace.options import TraceOptions
from dynamo_cli.frontend.request_trace.records import Asked, Ended, asked, ended, line_of
from dynamo_cli.frontend.request_trace.segments import Segments
from dynamo_cli.protocol.request_trace import REQUEST_END, REQUEST_PAYLOAD
from dynamo_cli.runtime.http.exchange import Exchange

log = logging.getLogger(__name__)
MOST_WAITING = 64 << 20
"""Bytes of prompts and bodies that may wait; so many requests alone would not bound them."""


class Tracer:
    """Best effort: what does not fit the queue is dropped and counted, and said once. `close` writes what is left."""

    def __init__(self, options: TraceOptions) -> None:
        self.dropped = 0
        self._options = options
        self._ends = REQUEST_END in options.records
        self._payloads = REQUEST_PAYLOAD in options.records
        self._queue: queue.Queue[Ended | Asked | None] = queue.Queue(options.capacity)
        self._segments = Segments(options.prefix, options.roll_bytes)
        self._given = self._taken = 0
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="request-trace", daemon=True)
        self._thread.start()

    def ended(self, exchange: Exchange, record: Record | None) -> None:
        """A journal's listener. What the supervisor asks is no load."""
        if record is None or exchange.request.trusted:
            return
        if self._payloads and (payload := asked(record, exchange.request.body)) is not None:
            self._put(payload)
        if self._ends:
            for end in ended(record):
                self._put(end)

    def close(self, timeout_s: float) -> None:
        """Returns when all is written, or time is up."""
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _put(self, what: Ended | Asked) -> None:
        size = what.size
        try:
            if self._given - self._taken > MOST_WAITING:
                raise queue.Full
            self._queue.put_nowait(what)
            self._given += size
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1:
                log.warning("requests end faster than their trace is written: some are left out of it")

    def _run(self) -> None:
        while self._write_some():
            pass
        self._segments.close()
        if self.dropped:
            log.warning("the request trace lacks %d records", self.dropped)

    def _write_some(self) -> bool:
        """What comes until the buffer is full or it is time to write; False after the last."""
        lines: list[bytes] = []
        size, goes_on = 0, True
        deadline = time.monotonic() + self._options.flush_s
        while size < self._options.buffer_bytes:
            try:
                what = self._queue.get(timeout=max(0.0, deadline - time.monotonic())) if lines else self._queue.get()
            except queue.Empty:
                break
            if what is None:
                goes_on = False
                break
            if not lines:
                deadline = time.monotonic() + self._options.flush_s
            line = self._line(what)
            self._taken += what.size
            lines.append(line)
            size += len(line)
        return self._flush(lines) and goes_on

    def _line(self, what: Ended | Asked) -> bytes:
        """Empty for what has no form as a record: one such request must not end the trace of the others."""
        try:
            return line_of(what)
        except Exception:
            if not self._failed:
                log.exception("a request could not be recorded; others like it are left out without a word")
            self._failed = True
            return b""

    def _flush(self, lines: list[bytes]) -> bool:
        """False when nothing can be written any more."""
        try:
            if lines:
                self._segments.write(b"".join(lines))
        except OSError as error:
            log.error("requests are traced no more: %s: %s", self._options.prefix, error.strerror or error)
            return False
        return True
