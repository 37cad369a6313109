"""Streams that run while prompts arrive: as many workers, aggregated, disaggregated, and conditionally so.

make bench-disagg, or python -m dynamo_cli.bench.disagg.compare [--workers N] [--rate R] [--plot FILE.svg] [LENGTH...]
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from dynamo_cli.bench.disagg.halves import Arrival, Halves, Outcome, Shape
from dynamo_cli.disagg.conditional import ConditionalDisagg

LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
KINDS = ("aggregated", "disaggregated", "local", "conditional")
"""local: the halves of disaggregated, of which those that decode compute every prompt themselves."""
NEVER_REMOTE = ConditionalDisagg(eff_isl_threshold=2**53, eff_isl_ratio_threshold=2.0)
MARGIN = 0.03
"""What is no more than that is no difference."""
STREAM_PROMPT = 256
ANSWERS_AFTER_S = 10.0
"""Of conditional: prefill workers that nobody needed for so long answer, too."""
PROMPT_OUTPUT = 16


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """`streams` run all the time while prompts arrive, `rate` a second (Poisson), for `seconds` of virtual time."""

    streams: int = 16
    rate: float = 1.0
    seconds: float = 60.0
    seed: int = 0

    def arrivals(self, prompt_tokens: int) -> list[Arrival]:
        endless = int(self.seconds / 0.004)
        streams = [Arrival(0.01 * at, STREAM_PROMPT, endless, counted=False) for at in range(self.streams)]
        chance, now, prompts = random.Random(f"{self.seed} {prompt_tokens}"), 2.0, []
        while (now := now + chance.expovariate(self.rate)) < self.seconds:
            prompts.append(Arrival(now, prompt_tokens, PROMPT_OUTPUT))
        return streams + prompts


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of virtual time. `remote`: prompts computed by prefill workers."""

    itl_p50_ms: float
    itl_p99_ms: float
    itl_max_ms: float
    ttft_mean_ms: float
    remote: int


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """`behind`: how much more conditional's p99 is, as a share, than that of the better one of as many aggregated and
    disaggregated workers."""

    prompt_tokens: int
    figures: dict[str, Figures]

    @property
    def behind(self) -> float:
        better = min(self.figures[kind].itl_p99_ms for kind in ("aggregated", "disaggregated"))
        return self.figures["conditional"].itl_p99_ms / better - 1


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`threshold`: of conditional, tokens. `crossover`: the shortest prompt from which on disaggregation has a lower
    p99 than as many aggregated workers; None when it never has."""

    rows: list[Row]
    threshold: int
    crossover: int | None

    def as_table(self) -> str:
        """Markdown."""
        heads = ["prompt tokens", *(f"ITL p99 {kind}" for kind in KINDS), "conditional behind the better"]
        heads += [f"TTFT {kind}" for kind in KINDS]
        lines = [f"| {' | '.join(heads)} |", f"|{'---:|' * len(heads)}"]
        for row in self.rows:
            p99 = [f"{row.figures[kind].itl_p99_ms:.1f}" for kind in KINDS]
            ttft = [f"{row.figures[kind].ttft_mean_ms:.0f}" for kind in KINDS]
            lines.append(f"| {' | '.join([str(row.prompt_tokens), *p99, f'{row.behind:+.1%}', *ttft])} |")
        said = "at none of these lengths" if self.crossover is None else f"from {self.crossover} tokens on"
        return "\n".join(
            [
                *lines,
                "",
                f"Milliseconds. Disaggregated, the p99 between tokens is below that of aggregated workers {said}. "
                f"Conditional keeps prompts below {self.threshold} tokens local.",
            ]
        )


def compare(lengths: Sequence[int], workers: int, load: Load, threshold: int | None = None) -> Comparison:
    """As many workers each; half of them prefill where the work is split. `threshold`: of conditional, in tokens; None
    is where disaggregated workers begin to have a lower p99 than aggregated ones."""
    prefill = workers // 2
    decode = workers - prefill
    shapes = {
        "aggregated": Shape(workers),
        "disaggregated": Shape(decode, prefill),
        "local": Shape(decode, prefill, NEVER_REMOTE),
    }
    found = {length: {kind: measure(shape, load, length) for kind, shape in shapes.items()} for length in lengths}
    crossover = lower_from(found, "disaggregated", "aggregated")
    if threshold is None:
        threshold = crossover
    chosen = 2**53 if threshold is None else threshold
    conditional = ConditionalDisagg(
        eff_isl_threshold=chosen, eff_isl_ratio_threshold=2.0, prefill_answers_after_s=ANSWERS_AFTER_S
    )
    for length, figures in found.items():
        figures["conditional"] = measure(Shape(decode, prefill, conditional), load, length)
    rows = [Row(prompt_tokens=length, figures=figures) for length, figures in found.items()]
    return Comparison(rows=rows, threshold=chosen, crossover=crossover)


def measure(shape: Shape, load: Load, prompt_tokens: int) -> Figures:
    return _figures(Halves(shape).run(load.arrivals(prompt_tokens), load.seconds))


def lower_from(found: Mapping[int, Mapping[str, Figures]], one: str, other: str) -> int | None:
    """The shortest prompt from which on `one` has the lower p99, by more than the margin; None when it never has."""
    shortest = None
    for length in sorted(found, reverse=True):
        if found[length][one].itl_p99_ms >= (1 - MARGIN) * found[length][other].itl_p99_ms:
            break
        shortest = length
    return shortest


def _figures(outcome: Outcome) -> Figures:
    gaps = outcome.gaps
    return Figures(
        itl_p50_ms=round(1000 * gaps.quantile(0.5), 3),
        itl_p99_ms=round(1000 * gaps.quantile(0.99), 3),
        itl_max_ms=round(1000 * max(gaps.weights, default=0.0), 3),
        ttft_mean_ms=round(1000 * statistics.fmean(outcome.ttft_s), 3) if outcome.ttft_s else 0.0,
        remote=outcome.remote,
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench-disagg", description=__doc__.split("\n")[0])
    default = Load()
    parser.add_argument("lengths", nargs="*", type=int, default=list(LENGTHS), metavar="LENGTH")
    parser.add_argument("--workers", type=int, default=2, help="of each kind of deployment (default 2)")
    parser.add_argument("--streams", type=int, default=default.streams, help=f"that run (default {default.streams})")
    parser.add_argument("--rate", type=float, default=default.rate, help=f"prompts a second (default {default.rate:g})")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="of virtual time")
    parser.add_argument("--threshold", type=int, help="eff_isl_threshold of conditional (default: what is best)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    given = parser.parse_args(argv)
    if given.workers < 2 or min(given.lengths) < 1 or given.rate <= 0 or given.seconds <= 0 or given.streams < 1:
        parser.error("at least two workers, and counts above 0")
    load = Load(streams=given.streams, rate=given.rate, seconds=given.seconds)
    comparison = compare(sorted(given.lengths), given.workers, load, given.threshold)
    if given.plot is not None:
        from dynamo_cli.bench.disagg.plot import plot

        given.plot.write_text(plot(comparison.rows))
    sys.stdout.write((msgspec.json.encode(comparison).decode() if given.json else comparison.as_table()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
