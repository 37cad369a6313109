"""The command line: what the deployment adds to an engine, as a table or JSON on stdout."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dynamo_cli.bench.budgets.result import machine
from dynamo_cli.bench.budgets.rig import Rig
from dynamo_cli.bench.budgets.served import Served
from dynamo_cli.bench.engine.direct import direct_engine
from dynamo_cli.bench.engine.load import Load
from dynamo_cli.bench.engine.measure import Median, Pair, Pairs, median_of
from dynamo_cli.bench.target import parse_url
from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.control import DeploymentStatus

LEAST_RATIO, MOST_MS = 0.95, 0.02
TOPOLOGY = Path(__file__).parents[3] / "topologies" / "agg.toml"


def main(argv: Sequence[str] | None = None) -> int:
    """0 also when a goal is missed: it measures."""
    asked = _parser().parse_args(argv)
    load = Load(asked.requests, asked.concurrency, asked.isl, asked.osl)
    try:
        with tempfile.TemporaryDirectory(prefix="dyn-", ignore_cleanup_errors=True) as home:
            pairs = _measure(Rig(Path(home)), asked, load)
    except DynamoError as error:
        sys.stderr.write(f"dynamo: {error}\n")
        return error.exit_code
    sys.stdout.write(_as_json(pairs) if asked.json else _as_table(pairs, asked.engine, load))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench-engine", description="Measure what frontend and worker add to an engine asked directly."
    )
    parser.add_argument("--engine", default="vllm", help="the only one that can be asked directly: vllm")
    parser.add_argument("--model", default="", help="default: that of topologies/agg.toml")
    parser.add_argument("--pairs", type=int, default=7, help="pairs of runs (default 7)")
    parser.add_argument("--concurrency", type=int, default=16, help="streams at a time (default 16)")
    parser.add_argument("--requests", type=int, default=48, help="of each run (default 48)")
    parser.add_argument("--isl", type=int, default=64, help="prompt tokens (default 64)")
    parser.add_argument("--osl", type=int, default=64, help="tokens of an answer (default 64)")
    parser.add_argument("--json", action="store_true", help="print only JSON")
    parser.add_argument("args", nargs="*", metavar="ARG", help="after --: arguments of the engine, for both sides")
    return parser


def _measure(rig: Rig, asked: argparse.Namespace, load: Load) -> list[Pair]:
    sets = {
        "frontend.port": "0",
        "workers.decode.engine": msgspec.json.encode(asked.engine).decode(),
        "workers.decode.replicas": "1",
        "workers.decode.args": msgspec.json.encode(asked.args).decode(),
    }
    if asked.model:
        sets["model"] = msgspec.json.encode(asked.model).decode()
    options = [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
    try:
        up = rig.dynamo("up", "-d", str(TOPOLOGY), "--json", "--timeout", "600", *options)
        status = msgspec.json.decode(up.stdout, type=DeploymentStatus)
        pids = {service.kind: service.pid or 0 for service in status.services}
        served = Served(parse_url(status.url), status.models[0], pids["frontend"])
        with direct_engine(asked.engine, asked.model, asked.args) as direct:
            pairs = []
            for pair in Pairs(served, pids["worker"], direct, load).measure(asked.pairs):
                sys.stderr.write(
                    f"{pair.served_tokens_per_s:.0f} of {pair.direct_tokens_per_s:.0f} tok/s ({pair.ratio:.3f}), "
                    f"{pair.added_ms:.4f} CPU-ms a token added\n"
                )
                pairs.append(pair)
            return pairs
    finally:
        rig.dynamo("down", "--all")


def _as_json(pairs: list[Pair]) -> str:
    medians = {"ratio": _of(pairs, "ratio"), "added_cpu_ms_per_token": _of(pairs, "added_ms")}
    told = {name: median._asdict() for name, median in medians.items()}
    return msgspec.json.encode({"machine": machine(), **told, "pairs": pairs}).decode() + "\n"


def _as_table(pairs: list[Pair], engine: str, load: Load) -> str:
    ratio, added = _of(pairs, "ratio"), _of(pairs, "added_ms")
    parts = ("frontend_ms", "worker_ms", "direct_ms", "served_tokens_per_s", "direct_tokens_per_s")
    frontend, worker, alone, served, direct = (_of(pairs, part).median for part in parts)
    rows = [
        ("throughput, of the engine's own", f"≥ {LEAST_RATIO}", _shown(ratio, 3), ratio.median >= LEAST_RATIO),
        ("CPU of frontend and worker host, a token", f"≤ {MOST_MS} ms", _shown(added, 4), added.median <= MOST_MS),
    ]
    lines = [
        f"{machine()}; {engine}, {load.concurrency} streams, {load.isl} in, {load.osl} out; medians of {len(pairs)} "
        "pairs, in brackets their interval",
        "",
        "| what | goal | measured | met |",
        "| --- | --- | --- | --- |",
        *(f"| {what} | {goal} | {measured} | {'yes' if met else 'no'} |" for what, goal, measured, met in rows),
        "",
        f"Frontend {frontend:.4f}, worker {worker:.4f}, one that only asks the engine {alone:.4f} CPU-ms a token; "
        f"{served:.0f} and {direct:.0f} tok/s.",
    ]
    return "\n".join(lines) + "\n"


def _of(pairs: list[Pair], part: str) -> Median:
    return median_of([getattr(pair, part) for pair in pairs])


def _shown(value: Median, digits: int) -> str:
    return f"{value.median:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"
