"""`dynamo frontend`: the OpenAI-compatible server of a deployment."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any

from dynamo_cli.errors import DynamoError, UsageError
from dynamo_cli.frontend import busy_threshold, door
from dynamo_cli.frontend.app import Frontend, FrontendOptions
from dynamo_cli.frontend.disaggregating import add_disagg_arguments, disagg_options
from dynamo_cli.frontend.following import follow
from dynamo_cli.frontend.keepalive import KeepAliveOptions
from dynamo_cli.frontend.memory import add_memory_arguments, kept_requests
from dynamo_cli.frontend.metrics.options import add_metrics_arguments, metrics_options
from dynamo_cli.frontend.migrating import add_migration_arguments, migration_options
from dynamo_cli.frontend.request_trace.options import add_trace_arguments
from dynamo_cli.frontend.router_service import add_router_service_argument, asks_router_service
from dynamo_cli.routing.kv_arguments import add_kv_routing_arguments, kv_routing_options
from dynamo_cli.routing.modes import DEFAULT_MODE, MODES, check_mode
from dynamo_cli.runtime.arguments import ComponentParser
from dynamo_cli.runtime.config import RuntimeConfig, add_runtime_arguments
from dynamo_cli.runtime.descriptors import allow_many_files
from dynamo_cli.runtime.flags.frontend import FRONTEND
from dynamo_cli.runtime.flags.refusal import heed_variables
from dynamo_cli.runtime.flags.router import OF_FRONTENDS, ROUTER
from dynamo_cli.runtime.flags.shared import SHARED
from dynamo_cli.runtime.http.limits import Limits, number
from dynamo_cli.runtime.http.listener import bind, inherited
from dynamo_cli.runtime.logs import configure_logging
from dynamo_cli.runtime.loop import run
from dynamo_cli.runtime.runtime import DistributedRuntime
from dynamo_cli.runtime.switches import is_on

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
FLAGS = (*FRONTEND, *OF_FRONTENDS, *ROUTER, *SHARED)
log = logging.getLogger("dynamo.frontend")


def main(argv: list[str]) -> int:
    """Serve until SIGTERM, SIGINT or, when another frontend takes over, SIGUSR1; returns the exit code."""
    arguments = _parser().parse_args(argv)
    configure_logging()
    heed_variables(FLAGS)
    allow_many_files()
    config = RuntimeConfig.from_args(arguments)
    options = _options(arguments)
    if arguments.listen_fd is not None:
        listener = inherited(arguments.listen_fd)
    else:
        listener = bind(_host(arguments), _port(arguments))
    try:
        return run(_serve(config, options, listener, shared=arguments.listen_fd is not None))
    finally:
        listener.close()
        options.following.close()


def _options(arguments: argparse.Namespace) -> FrontendOptions:
    """Flag > environment > default. Raises UsageError, which names the flag or variable."""
    mode = check_mode(arguments.router_mode or os.environ.get("DYN_ROUTER_MODE") or DEFAULT_MODE)
    kv = kv_routing_options(arguments)
    return FrontendOptions(
        router_mode=mode,
        kv=kv,
        router_service=asks_router_service(arguments, mode, kv),
        model=arguments.model_name or os.environ.get("DYN_MODEL_NAME"),
        grace_s=number("DYN_HTTP_GRACEFUL_SHUTDOWN_TIMEOUT_SECS", 5.0),
        limits=Limits.from_environment(),
        migration=migration_options(arguments),
        disagg=disagg_options(arguments),
        thresholds=busy_threshold.busy_thresholds(arguments),
        admin_api=not is_on("DYN_DISABLE_FRONTEND_ADMIN_API", os.environ),
        keep_alive=KeepAliveOptions.from_environment(),
        metrics=metrics_options(arguments),
        gate=door.gate(arguments),
        tls=door.tls(arguments),
        following=follow(arguments),
        kept_requests=kept_requests(arguments),
    )


async def _serve(config: RuntimeConfig, options: FrontendOptions, listener: socket.socket, shared: bool) -> int:
    loop = asyncio.get_running_loop()
    stopped, forced, retired = asyncio.Event(), asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, retired.set)
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, lambda: (forced if stopped.is_set() else stopped).set())
    address = _address(listener, "https" if options.tls else "http")
    async with await DistributedRuntime.create(config) as runtime:
        frontend = Frontend(runtime, options)
        try:
            await frontend.start(listener, shared=shared)
            log.info("serving on %s, router mode %s", address, options.router_mode)
            _calm_collector()
            await _first_of(stopped.wait(), retired.wait())
            if not stopped.is_set():
                log.info("another frontend takes over; what is in flight goes on to its end")
                await _first_of(frontend.retire(), stopped.wait())
            log.info("draining")
            await _first_of(frontend.drain(), forced.wait())
        finally:
            await frontend.close()
    return 128 + signal.SIGINT if forced.is_set() else 0


async def _first_of(*several: Coroutine[Any, Any, object]) -> None:
    """Until one is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in several]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _calm_collector() -> None:
    """Requests are freed by reference counts; what was loaded at the start need not be looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _parser() -> argparse.ArgumentParser:
    parser = ComponentParser("dynamo frontend", __doc__, FLAGS)
    parser.add_argument("--http-host", help=f"address to listen on (DYN_HTTP_HOST; default {DEFAULT_HOST})")
    parser.add_argument("--http-port", type=int, help=f"port (DYN_HTTP_PORT; default {DEFAULT_PORT}; 0: any)")
    parser.add_argument("--listen-fd", type=int, metavar="N", help="serve on this inherited listening socket")
    door.add_arguments(parser)
    parser.add_argument("--router-mode", help=f"{', '.join(MODES)} (DYN_ROUTER_MODE; default {DEFAULT_MODE})")
    parser.add_argument(
        "--model-name",
        "--served-model-name",
        dest="model_name",
        help="serve only this model (DYN_MODEL_NAME; default: all)",
    )
    add_router_service_argument(parser)
    add_kv_routing_arguments(parser)
    add_migration_arguments(parser)
    busy_threshold.add_arguments(parser)
    add_disagg_arguments(parser)
    add_metrics_arguments(parser)
    add_trace_arguments(parser)
    add_memory_arguments(parser)
    add_runtime_arguments(parser)
    return parser


def _host(arguments: argparse.Namespace) -> str:
    return arguments.http_host or os.environ.get("DYN_HTTP_HOST") or DEFAULT_HOST


def _port(arguments: argparse.Namespace) -> int:
    port = int(number("DYN_HTTP_PORT", DEFAULT_PORT)) if arguments.http_port is None else int(arguments.http_port)
    if not 0 <= port < 1 << 16:
        raise UsageError(f"--http-port {port}: ports are 0 to 65535")
    return port


def _address(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except DynamoError as failure:
        sys.stderr.write(f"dynamo: {failure}\n")
        sys.exit(failure.exit_code)
