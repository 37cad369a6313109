"""`dynamo replay`: a trace against simulated workers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import typer


def register(app: typer.Typer) -> None:
    @app.command(short_help="Compare router policies on a trace, in virtual time.")
    def replay(
        trace: Path = typer.Argument(metavar="TRACE", help="A trace in the Mooncake format, or a request trace."),
        policy: str = typer.Option("kv,reference", metavar="NAMES", help="Policies, comma separated."),
        workers: int = typer.Option(8, min=1, help="Simulated workers."),
        cache_fraction: float = typer.Option(
            0.25, metavar="F", min=0.0, help="KV cache of all workers together, as a share of the different blocks."
        ),
        blocks: Optional[int] = typer.Option(  # noqa: UP045
            None, min=1, help="KV blocks of each worker, in place of --cache-fraction."
        ),
        speed: float = typer.Option(1.0, metavar="X", min=0.001, help="Send X times as fast as recorded."),
        limit: Optional[int] = typer.Option(  # noqa: UP045
            None, "-n", "--requests", metavar="N", min=1, help="The first N requests only."
        ),
        max_num_seqs: int = typer.Option(256, min=1, help="Sequences a worker runs at once."),
        max_num_batched_tokens: int = typer.Option(8192, min=1, help="Tokens of one step of a worker."),
        speedup: float = typer.Option(1.0, metavar="X", min=0.0, help="Workers X times as fast; 0 takes no time."),
        seed: int = typer.Option(0, help="Of everything that is left to chance."),
        plot: Optional[Path] = typer.Option(None, metavar="FILE", help="Draw the results (SVG)."),  # noqa: UP045
        json: bool = typer.Option(False, "--json", help="Print a list with an object for each policy."),
    ) -> None:
        """Replay a trace against simulated workers, once under each policy, and compare.

        Time is virtual: an hour takes seconds. The router is the one that serves; the workers schedule, cache and
        take their time as the mock engine does.
        """
        from dynamo_cli.bench.replay.command import ReplayOptions, run_replay

        replayed = run_replay(
            ReplayOptions(
                trace=trace,
                policy=policy,
                workers=workers,
                cache_fraction=cache_fraction,
                blocks=blocks,
                speed=speed,
                seed=seed,
                limit=limit,
                max_num_seqs=max_num_seqs,
                max_num_batched_tokens=max_num_batched_tokens,
                speedup=speedup,
                plot=plot,
            )
        )
        for remark in replayed.remarks:
            print(f"dynamo: {remark}", file=sys.stderr)
        print(replayed.as_json() if json else replayed.as_table())
