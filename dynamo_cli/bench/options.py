"""The command line of `dynamo bench` as a value, and which of its options go together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from dynamo_cli.bench.load.arrivals import ARRIVALS
from dynamo_cli.bench.report.foreign import FORMATS
from dynamo_cli.errors import UsageError

AUTO = "auto"
CONCURRENCY, REQUESTS, ISL, OSL = 16, 200, 50, 64
LEVEL_S = 10.0
"""How long each of several levels sends, unless it is said."""


@dataclass(frozen=True)
class Options:
    """None is what was not given."""

    url: str | None = None
    model: str | None = None
    concurrency: int | None = None
    requests: int | None = None
    duration: float | None = None
    rate: float | None = None
    arrivals: str | None = None
    burstiness: float | None = None
    max_concurrency: int | None = None
    ramp: float = 0.0
    warmup: int = 0
    timeout: float = 300.0
    isl: int | None = None
    isl_stddev: float = 0.0
    osl: int | None = None
    osl_stddev: float = 0.0
    same_prompt: bool = False
    shared_prefix: int | None = None
    groups: int | None = None
    turns: int | None = None
    sessions: int | None = None
    think_time: float | None = None
    trace: Path | None = None
    speed: float | None = None
    trace_start: float | None = None
    trace_end: float | None = None
    seed: int = 0
    stream: bool = True
    cancel_rate: float = 0.0
    ignore_eos: bool = False
    extra_body: str | None = None
    header: Sequence[str] = ()
    api_key: str | None = None
    sweep: str | None = None
    sweep_rate: str | None = None
    slo: str | None = None
    find_max_rate: bool = False
    max_error_rate: float = 0.0
    ready_timeout: float = 0.0
    pid: Sequence[str] = ()
    output: Path | None = None
    compare: tuple[Path, Path] | None = None
    json: bool = False
    format: str | None = None

    @property
    def mode(self) -> str:
        """How the load is offered."""
        if self.find_max_rate:
            return "max-rate"
        for name in ("sweep", "sweep_rate", "trace", "rate"):
            if self.given(name):
                return name.replace("_", "-")
        return "concurrency"

    @property
    def is_open(self) -> bool:
        return self.mode in ("max-rate", "sweep-rate", "trace", "rate")

    def given(self, name: str) -> bool:
        value = getattr(self, name)
        return bool(value != _DEFAULTS[name] and value != [])

    def completed(self) -> Options:
        """With the defaults that depend on what else was given."""
        return replace(
            self,
            concurrency=CONCURRENCY if self.mode == "concurrency" and self.concurrency is None else self.concurrency,
            arrivals=self._process() if self.is_open and self.mode != "trace" else None,
            isl=self.isl or ISL,
            osl=self.osl or OSL,
            **self._lengths(),
        )

    def public(self) -> dict[str, Any]:
        """What the load depends on, for a file: no key, and of the headers only the names."""
        shown = {**asdict(self), "header": [header.partition(":")[0].strip() for header in self.header]}
        return {n: _plain(value) for n, value in shown.items() if n not in _NOT_LOAD and value not in (None, [])}

    def _process(self) -> str:
        return self.arrivals or ("gamma" if self.burstiness else "poisson")

    def _lengths(self) -> dict[str, Any]:
        """How long sending goes on, when neither a number of requests nor a duration says so."""
        if self.sessions is not None:
            return {"requests": self.sessions * (self.turns or 1)}
        if self.requests is not None or self.duration is not None or self.mode == "trace":
            return {}
        if self.mode in ("concurrency", "rate"):
            return {"requests": REQUESTS}
        return {"duration": LEVEL_S}


_DEFAULTS = {field.name: field.default for field in fields(Options)}
_NOT_LOAD = ("url", "api_key", "ready_timeout", "output", "compare", "json", "format")
_OF_TRACE = ("speed", "trace_start", "trace_end")
_CONTENT = ("isl", "isl_stddev", "osl", "osl_stddev", "same_prompt", "shared_prefix", "turns")


def check(options: Options) -> None:
    """Raises UsageError for options that contradict each other or would do nothing."""
    if options.compare is not None:
        others = [name for name in _DEFAULTS if options.given(name) and name not in ("compare", "json", "api_key")]
        _refuse(bool(others), "--compare reads two results and measures nothing: drop", *others)
        return
    for name, value in asdict(options).items():
        _refuse(isinstance(value, float) and not math.isfinite(value), f"{_flag(name)} {value}: expected a number")
    _check_load(options)
    _check_content(options)
    _refuse(options.find_max_rate and not options.slo, "--find-max-rate needs --slo, such as --slo ttft=200ms,itl=20ms")
    hidden = options.find_max_rate and options.max_concurrency is not None
    _refuse(hidden, "--max-concurrency would hide from the SLO how long requests wait: drop it with --find-max-rate")
    _check_format(options)
    _refuse(bool(options.cancel_rate) and not options.stream, "--cancel-rate needs streamed answers: drop --no-stream")


def _check_format(options: Options) -> None:
    if options.format is not None:
        _refuse(options.format not in FORMATS, f"--format {options.format}: use {', '.join(FORMATS)}")
        _refuse(options.json, "choose one of --json and --format")
        several = options.mode in ("sweep", "sweep-rate", "max-rate")
        _refuse(several, f"--format {options.format} is for one level: drop {_mode_flag(options)}")


def _check_load(options: Options) -> None:
    modes = [name for name in ("sweep", "sweep_rate", "find_max_rate", "trace") if options.given(name)]
    _refuse(len(modes) > 1, "choose one of", *modes)
    if options.given("rate"):
        _refuse(options.mode not in ("rate", "max-rate"), "--rate does not go with", *modes)
    if options.is_open or options.mode == "sweep":
        hint = "; --max-concurrency limits an open loop" if options.is_open else ""
        _refuse(options.given("concurrency"), f"-c does not go with {_mode_flag(options)}{hint}")
    if not options.is_open:
        for name in ("arrivals", "burstiness", "max_concurrency"):
            _refuse(options.given(name), f"{_flag(name)} is for an open loop: add --rate")
    _refuse(options.arrivals not in (None, *ARRIVALS), f"--arrivals {options.arrivals}: use {', '.join(ARRIVALS)}")
    wrong_process = options.burstiness is not None and options.arrivals not in (None, "gamma")
    _refuse(wrong_process, f"--burstiness is of --arrivals gamma, not {options.arrivals}")
    too_long = options.duration is not None and options.ramp >= options.duration
    _refuse(too_long, f"--ramp {options.ramp:g} must be shorter than --duration {options.duration or 0:g}")
    _refuse(options.ramp > 0 and options.mode == "trace", "--ramp does not go with --trace, which has its own times")


def _check_content(options: Options) -> None:
    if options.trace is None:
        for name in _OF_TRACE:
            _refuse(options.given(name), f"{_flag(name)} needs --trace")
    else:
        given = [name for name in (*_CONTENT, "arrivals", "burstiness") if options.given(name)]
        _refuse(bool(given), "--trace has its own lengths and times: drop", *given)
        empty = options.trace_end is not None and options.trace_end <= (options.trace_start or 0.0)
        _refuse(empty, "--trace-end must be later than --trace-start")
    _refuse(options.given("groups") and not options.shared_prefix, "--groups needs --shared-prefix")
    for name in ("sessions", "think_time"):
        _refuse(options.given(name) and (options.turns or 1) < 2, f"{_flag(name)} needs --turns 2 or more")
    both = options.sessions is not None and options.requests is not None
    _refuse(both, "-n counts requests and --sessions conversations: choose one")


def _refuse(wrong: bool, why: str, *names: str) -> None:
    if wrong:
        raise UsageError(" ".join([why, ", ".join(map(_flag, names))]).strip())


def _mode_flag(options: Options) -> str:
    return "--find-max-rate" if options.find_max_rate else f"--{options.mode}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
