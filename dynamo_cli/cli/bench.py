from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from dynamo_cli.bench.run import Workload


def register(app: typer.Typer) -> None:
    @app.command(short_help="Measure a server under load.")
    def bench(
        url: str | None = typer.Option(None, help="The server. Default: the running deployment, else port 8000."),
        model: str | None = typer.Option(None, help="The model. Default: the only one served."),
        concurrency: int = typer.Option(16, "--concurrency", "-c", min=1, help="Connections, each one request deep."),
        requests: int = typer.Option(200, "--requests", "-n", min=1, help="Measured requests."),
        isl: int = typer.Option(50, min=1, help="Prompt length in words, about one token each."),
        osl: int = typer.Option(64, min=1, help="Most tokens of an answer."),
        stream: bool = typer.Option(True, "--stream/--no-stream", help="Stream the answers."),
        warmup: int = typer.Option(0, min=0, help="Requests sent before measuring."),
        seed: int = typer.Option(0, help="Prompts of the same seed are the same."),
        pid: list[str] = typer.Option([], metavar="NAME=PID", help="Report its CPU and memory; repeatable."),
        timeout: float = typer.Option(300.0, min=0.001, help="Seconds a request may take."),
        json: bool = typer.Option(False, "--json", help="Print only JSON."),
    ) -> None:
        """Measure a server under load: TTFT, ITL, end-to-end latency, tokens and requests per second, errors.

        A closed loop: every connection sends its next request when it has the answer to the last. Exits with 1 when
        a request failed.
        """
        from dynamo_cli.bench.cpu import parse_pids
        from dynamo_cli.bench.run import Workload

        pids = parse_pids(pid)
        work = Workload(requests, concurrency, isl, osl, stream, False, warmup, seed, timeout, pids)
        _run(url, model, work, json)


def _run(url: str | None, model: str | None, work: Workload, json: bool) -> None:
    import msgspec

    from dynamo_cli.bench.report import render
    from dynamo_cli.bench.run import run_load
    from dynamo_cli.bench.target import choose_model, default_url, parse_url

    address = parse_url(url or default_url())
    report = run_load(address, choose_model(address, model), work)
    print(msgspec.json.encode(report).decode() if json else render(report))
    if report.errors:
        raise typer.Exit(1)
