from __future__ import annotations

import sys

import typer

from dynamo_cli.cli import bench_options as opt


def register(app: typer.Typer) -> None:
    @app.command(short_help="Measure a server under load.")
    def bench(
        context: typer.Context,
        url: opt.Url = None,
        model: opt.Model = None,
        concurrency: opt.Concurrency = None,
        requests: opt.Requests = None,
        duration: opt.Duration = None,
        rate: opt.Rate = None,
        arrivals: opt.Arrivals = None,
        burstiness: opt.Burstiness = None,
        max_concurrency: opt.MaxConcurrency = None,
        ramp: opt.Ramp = 0.0,
        warmup: opt.Warmup = 0,
        timeout: opt.Timeout = 300.0,
        cancel_rate: opt.CancelRate = 0.0,
        isl: opt.Isl = None,
        isl_stddev: opt.Stddev = 0.0,
        osl: opt.Osl = None,
        osl_stddev: opt.Stddev = 0.0,
        same_prompt: opt.SamePrompt = False,
        shared_prefix: opt.SharedPrefix = None,
        groups: opt.Groups = None,
        turns: opt.Turns = None,
        sessions: opt.Sessions = None,
        think_time: opt.ThinkTime = None,
        trace: opt.TraceFile = None,
        speed: opt.Speed = None,
        trace_start: opt.TraceStart = None,
        trace_end: opt.TraceEnd = None,
        seed: opt.Seed = 0,
        stream: opt.Stream = True,
        ignore_eos: opt.IgnoreEos = False,
        extra_body: opt.ExtraBody = None,
        header: opt.Header = [],  # noqa: B006
        api_key: opt.ApiKey = None,
        sweep: opt.Sweep = None,
        sweep_rate: opt.SweepRate = None,
        slo: opt.SloText = None,
        find_max_rate: opt.FindMaxRate = False,
        max_error_rate: opt.MaxErrorRate = 0.0,
        ready_timeout: opt.ReadyTimeout = 0.0,
        pid: opt.Pid = [],  # noqa: B006
        output: opt.Output = None,
        compare: opt.Compare = None,
        json: opt.Json = False,
        format: opt.Format = None,
    ) -> None:
        """Measure a server under load: TTFT, ITL, end-to-end latency, throughput, errors, goodput.

        A closed loop by default: the next request is sent when an answer came. With --rate an open loop: requests are
        sent on a schedule. A level of a sweep or search sends for 10 s unless -n or --duration is given. Exits with 1
        when a request failed or the --slo is missed.
        """
        from dynamo_cli.bench.command import run_bench
        from dynamo_cli.bench.options import Options

        outcome = run_bench(Options(**context.params))
        print(outcome.text)
        for line in outcome.remarks:
            print(f"dynamo: {line}", file=sys.stderr)
        raise typer.Exit(outcome.exit_code)
