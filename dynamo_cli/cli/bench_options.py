"""The options of `dynamo bench`, in the order of its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, List, Optional, Tuple  # noqa: UP035

import typer

# ruff: noqa: UP006, UP045  (typer evaluates these while Python 3.10 is supported)

Url = Annotated[Optional[str], typer.Option(help="The server. Default: the running deployment, else port 8000.")]
Model = Annotated[Optional[str], typer.Option(help="The model. Default: the only one served.")]

Concurrency = Annotated[
    Optional[int],
    typer.Option("--concurrency", "-c", min=1, show_default="16", help="Closed loop: requests in flight."),
]
Requests = Annotated[
    Optional[int], typer.Option("--requests", "-n", min=1, show_default="200", help="Measured requests of a level.")
]
Duration = Annotated[Optional[float], typer.Option(metavar="S", min=0.001, help="Send for so long, instead of -n.")]
Rate = Annotated[Optional[float], typer.Option(metavar="R", min=0.001, help="Open loop: requests per second.")]
Arrivals = Annotated[
    Optional[str],
    typer.Option(metavar="NAME", show_default="poisson", help="Of the open loop: poisson, constant or gamma."),
]
Burstiness = Annotated[
    Optional[float],
    typer.Option(metavar="X", min=0.001, help="Shape of gamma arrivals: 1 is Poisson, less is burstier."),
]
MaxConcurrency = Annotated[
    Optional[int], typer.Option(metavar="N", min=1, help="Most requests in flight of an open loop.")
]
Ramp = Annotated[float, typer.Option(metavar="S", min=0.0, help="Raise concurrency or rate linearly for so long.")]
Warmup = Annotated[int, typer.Option(metavar="N", min=0, help="Requests sent before measuring.")]
Timeout = Annotated[float, typer.Option(metavar="S", min=0.001, help="What a request may take.")]
CancelRate = Annotated[float, typer.Option(metavar="SHARE", min=0.0, max=1.0, help="Requests given up half-way.")]

Isl = Annotated[
    Optional[int], typer.Option(metavar="N", min=1, show_default="50", help="Prompt words, about one token each.")
]
Osl = Annotated[Optional[int], typer.Option(metavar="N", min=1, show_default="64", help="Most tokens of an answer.")]
Stddev = Annotated[float, typer.Option(metavar="N", min=0.0, help="Its standard deviation.")]
SamePrompt = Annotated[bool, typer.Option("--same-prompt", help="One prompt for all requests.")]
SharedPrefix = Annotated[Optional[int], typer.Option(metavar="WORDS", min=1, help="Begin prompts with a shared text.")]
Groups = Annotated[
    Optional[int], typer.Option(metavar="N", min=1, show_default="1", help="How many different shared prefixes.")
]
Turns = Annotated[
    Optional[int],
    typer.Option(metavar="N", min=1, help="Requests of a conversation; each carries the answers so far."),
]
Sessions = Annotated[Optional[int], typer.Option(metavar="N", min=1, help="Conversations, instead of -n.")]
ThinkTime = Annotated[Optional[float], typer.Option(metavar="S", min=0.0, help="Pause before a next turn.")]
TraceFile = Annotated[
    Optional[Path],
    typer.Option("--trace", metavar="PATH", help="Replay a trace: Mooncake's or one of requests."),
]
Speed = Annotated[Optional[float], typer.Option(metavar="X", min=0.001, help="Replay it X times as fast.")]
TraceStart = Annotated[Optional[float], typer.Option(metavar="S", min=0.0, help="Begin there in the trace.")]
TraceEnd = Annotated[Optional[float], typer.Option(metavar="S", min=0.0, help="End there in the trace.")]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed gives the same prompts and times.")]

Stream = Annotated[bool, typer.Option("--stream/--no-stream", help="Stream the answers.")]
IgnoreEos = Annotated[bool, typer.Option("--ignore-eos/--no-ignore-eos", help="Ask for answers of full length.")]
ExtraBody = Annotated[Optional[str], typer.Option(metavar="JSON", help="More fields of each request.")]
Header = Annotated[List[str], typer.Option(metavar="NAME:VALUE", help="More headers; repeatable.")]
ApiKey = Annotated[Optional[str], typer.Option(metavar="KEY", envvar="OPENAI_API_KEY", help="A bearer token.")]

Sweep = Annotated[
    Optional[str],
    typer.Option(metavar="C,C,...", help="A level for each concurrency; auto: double until throughput stops rising."),
]
SweepRate = Annotated[Optional[str], typer.Option(metavar="R,R,...", help="A level for each rate.")]
SloText = Annotated[
    Optional[str],
    typer.Option("--slo", metavar="LIMITS", help="What requests should keep to, such as ttft=200ms,itl=20ms."),
]
FindMaxRate = Annotated[bool, typer.Option("--find-max-rate", help="Search the highest rate that meets --slo.")]
MaxErrorRate = Annotated[float, typer.Option(metavar="SHARE", min=0.0, max=1.0, help="Requests that may fail.")]

ReadyTimeout = Annotated[float, typer.Option(metavar="S", min=0.0, help="Wait so long for the model.")]
Pid = Annotated[List[str], typer.Option(metavar="NAME=PID", help="Report its CPU and memory; repeatable.")]
Output = Annotated[Optional[Path], typer.Option("--output", "-o", metavar="DIR", help="Write the result there.")]
Compare = Annotated[
    Optional[Tuple[Path, Path]], typer.Option(metavar="A B", help="Compare two results; measures nothing.")
]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
Format = Annotated[
    Optional[str],
    typer.Option(metavar="vllm-json|aiperf-json", help="Print JSON as that benchmark writes it, for its scripts."),
]
