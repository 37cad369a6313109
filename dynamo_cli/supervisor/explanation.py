"""How a request went, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dynamo_cli.protocol.explained import Attempt, Candidate, ExplainedRequest
from dynamo_cli.supervisor.columns import GAP
from dynamo_cli.supervisor.explaining import clock, workers_of

COLUMNS = ("WORKER", "COST", "FOUND", "QUEUED", "IN USE", "REQUESTS")
LIST_COLUMNS = ("TIME", "ID", "STATUS", "PROMPT", "TOKENS", "TTFT", "TOTAL", "WORKER")
INDENT = "    "


def explanation(request: ExplainedRequest) -> str:
    """Several lines: what it was, where it went and why, how it ended."""
    lines = [*_head(request), ""]
    for number, attempts in enumerate(request.choices):
        if len(request.choices) > 1:
            lines.append(f"choice {number}")
        for attempt in attempts:
            lines += _attempt(attempt, request)
    if not any(request.choices):
        lines.append("it was sent to no worker")
    return "\n".join([*lines, "", _outcome(request)])


def listing(requests: Sequence[ExplainedRequest]) -> str:
    """One line each."""
    return "\n".join(_aligned([LIST_COLUMNS, *map(_row, requests)], right=range(3, 7)))


def why(attempt: Attempt, mode: str) -> str:
    """Why this worker."""
    chosen = next((one for one in attempt.candidates if one.worker_id == attempt.worker_id), None)
    if attempt.pinned:
        return "the client named it"
    if attempt.advised:
        return "the router process chose it" + (f"; {_found(chosen, attempt)}" if chosen is not None else "")
    if attempt.bound:
        return f"requests of session {attempt.session} go there"
    if attempt.among == 1:
        return "nobody else could take it"
    if chosen is None or chosen.cost is None:
        return f"by router mode {mode}, of {attempt.among} workers"
    return f"{_found(chosen, attempt)}; {_compared(chosen, attempt)}"


def _head(request: ExplainedRequest) -> Iterator[str]:
    own = f" ({request.answer_id})" if request.answer_id else ""
    yield f"request {request.id}{own}"
    what = ", ".join(filter(None, (request.kind, "streamed" if request.streamed else "")))
    yield f"{clock(request.began)}, {request.frontend}, {request.model or 'no model'}: {what}"
    attempt = next((attempts[0] for attempts in request.choices if attempts), None)
    if attempt is None:
        return
    wishes = {
        "session": attempt.session,
        "expected output": f"{attempt.expected_output} tokens" if attempt.expected_output else "",
        "overlap credit": attempt.overlap_credit,
        "temperature of the router": attempt.temperature,
    }
    said = [f"{name} {value}" for name, value in wishes.items() if value not in ("", None)]
    if said:
        yield f"its wishes: {', '.join(said)}"


def _attempt(attempt: Attempt, request: ExplainedRequest) -> Iterator[str]:
    task = ", to compute the prompt" if attempt.prefills else ""
    yield f"{attempt.worker}{task}, after {_time(attempt.after_s)}: {why(attempt, request.router_mode)}"
    if attempt.spared:
        yield f"{INDENT}left out as too busy: {', '.join(attempt.spared)}"
    if len(attempt.candidates) > 1:
        ranked = sorted(attempt.candidates, key=lambda one: (one.cost is None, one.cost or 0.0, one.worker))
        cells = [COLUMNS, *map(_cells, ranked)]
        marks = [" ", *(">" if one.worker_id == attempt.worker_id else " " for one in ranked)]
        aligned = _aligned(cells, right=range(1, len(COLUMNS)))
        yield from (f"  {mark} {line}" for mark, line in zip(marks, aligned, strict=True))
    if attempt.left:
        yield f"{INDENT}lost there after {_tokens(attempt.tokens)}: {attempt.left}"


def _found(chosen: Candidate, attempt: Attempt) -> str:
    if not attempt.prompt_blocks:
        return "its prompt fills no block"
    if not any(one.overlap_blocks for one in attempt.candidates):
        return f"none of its {attempt.prompt_blocks} blocks is cached anywhere"
    return f"{chosen.overlap_blocks} of {attempt.prompt_blocks} blocks cached there"


def _compared(chosen: Candidate, attempt: Attempt) -> str:
    costs = [(one.cost, one.worker) for one in attempt.candidates if one is not chosen and one.cost is not None]
    if chosen.cost is None or not costs:
        return "no cost"
    least, other = min(costs)
    if least < chosen.cost:
        return f"drawn by chance, cost {chosen.cost:.1f} against {least:.1f} of {other}"
    if least == chosen.cost:
        return f"cost {chosen.cost:.1f} as that of {other}, so one of them by lot"
    return f"cost {chosen.cost:.1f} against {least:.1f} of {other}"


def _cells(one: Candidate) -> tuple[str, ...]:
    counts = one.overlap_blocks, one.prefill_tokens, one.blocks, one.requests
    return (one.worker, "-" if one.cost is None else f"{one.cost:.1f}", *map(str, counts))


def _outcome(request: ExplainedRequest) -> str:
    if request.running:
        first = "" if request.ttft_s is None else f", first token after {_time(request.ttft_s)}"
        return f"still running, for {_time(request.duration_s)}{first}"
    parts = [f"status {request.status}"]
    if request.problem:
        parts.append(f"not whole: {request.problem}")
    if request.finish:
        parts.append(f"finished by {request.finish}")
    words = ", ".join(parts)
    if request.prompt_tokens is not None:
        words += (
            f": {_tokens(request.prompt_tokens)} of prompt ({request.cached_tokens or 0} cached), "
            f"{_tokens(request.completion_tokens or 0)} of answer"
        )
    first = "" if request.ttft_s is None else f"first token after {_time(request.ttft_s)}, "
    return f"{words}; {first}{_time(request.duration_s)} in all"


def _row(request: ExplainedRequest) -> tuple[str, ...]:
    def count(value: int | None) -> str:
        return "-" if value is None else str(value)

    return (
        clock(request.began),
        request.id,
        "runs" if request.running else str(request.status),
        count(request.prompt_tokens),
        count(request.completion_tokens),
        "-" if request.ttft_s is None else _short_time(request.ttft_s),
        _short_time(request.duration_s),
        " > ".join(workers_of(request)) or "-",
    )


def _aligned(lines: Sequence[tuple[str, ...]], right: range) -> list[str]:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return [
        GAP.join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _short_time(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _tokens(count: int) -> str:
    return f"{count} token" if count == 1 else f"{count} tokens"
