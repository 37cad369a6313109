"""Native arguments, parsed by vLLM itself, with what the worker knows filled in."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.instance import HALVES
from dynamo_cli.workers.engines.arguments import nearest
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.vllm.failure import one_line
from dynamo_cli.workers.engines.vllm.handing import connector_of
from dynamo_cli.workers.engines.vllm.sizing import CPU_CACHE_BYTES

_RANKS_ELSEWHERE = (
    "data_parallel_rank",
    "data_parallel_start_rank",
    "data_parallel_size_local",
    "data_parallel_address",
    "data_parallel_hybrid_lb",
    "data_parallel_external_lb",
    "data_parallel_multi_port_external_lb",
)


def engine_arguments(launch: EngineLaunch, *, on_cpu: bool, events_endpoint: str) -> Any:
    """AsyncEngineArgs. `events_endpoint`: where KV events go, "" for no events.

    Raises UsageError for an argument vLLM does not take, in vLLM's words, or that the worker sets itself.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):  # type: ignore[misc]
        def error(self, message: str) -> NoReturn:
            raise UsageError(f"engine vllm: {one_line(message)}")

    parser = AsyncEngineArgs.add_cli_args(Parser(prog="vllm", allow_abbrev=False, add_help=False))
    if on_cpu:
        # Compiling takes minutes there and gains nothing.
        parser.set_defaults(enforce_eager=True)
    parsed, unknown = parser.parse_known_args(list(launch.args))
    if unknown:
        raise _unknown(unknown[0], parser)
    _fill(parsed, launch, parser, on_cpu=on_cpu)
    if on_cpu and _cache_size_is_open(parsed, parser):
        parsed.kv_cache_memory_bytes = CPU_CACHE_BYTES
    tells = parsed.kv_events_config is None and parsed.enable_prefix_caching is not False
    # vLLM spreads requests over its ranks by itself: what one of them holds says little of where the next one goes.
    if events_endpoint and tells and (parsed.data_parallel_size or 1) == 1:
        parsed.kv_events_config = _events_config(events_endpoint)
    return AsyncEngineArgs.from_cli_args(parsed)


def follows_events(arguments: Any, events_endpoint: str) -> bool:
    """Whether the engine was told to tell us its events; a --kv-events-config of the user's own stays as it is."""
    config = arguments.kv_events_config
    return bool(events_endpoint) and config is not None and getattr(config, "endpoint", "") == events_endpoint


def _fill(parsed: argparse.Namespace, launch: EngineLaunch, parser: argparse.ArgumentParser, *, on_cpu: bool) -> None:
    if parsed.model not in (None, parser.get_default("model"), launch.model_path):
        raise UsageError("engine vllm: the model is the worker's own --model, not an argument of the engine")
    _check_ranks(parsed, parser)
    parsed.model = launch.model_path
    if not parsed.served_model_name:
        parsed.served_model_name = [launch.model_name]
    if launch.role in HALVES and parsed.kv_transfer_config is None:
        parsed.kv_transfer_config = _transfer_config(connector_of(launch.role, on_cpu=on_cpu))
    if launch.logits_processors:
        parsed.logits_processors = [*(parsed.logits_processors or ()), *launch.logits_processors]
    if launch.tensor_parallel > 1:
        if parsed.tensor_parallel_size not in (1, launch.tensor_parallel):
            raise UsageError(
                f"engine vllm: --tensor-parallel-size is {launch.tensor_parallel} for the worker and "
                f"{parsed.tensor_parallel_size} among the engine's arguments; give one"
            )
        parsed.tensor_parallel_size = launch.tensor_parallel


def _check_ranks(parsed: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """All data-parallel ranks live in this worker. Raises UsageError for what spreads them over several."""
    for name in _RANKS_ELSEWHERE:
        if getattr(parsed, name, None) not in (None, parser.get_default(name)):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"engine vllm: {flag} spreads ranks over several processes, which are not routed to by rank; "
                "--data-parallel-size alone keeps them in this worker"
            )


def _cache_size_is_open(parsed: argparse.Namespace, parser: argparse.ArgumentParser) -> bool:
    return (
        getattr(parsed, "kv_cache_memory_bytes", 0) is None
        and parsed.num_gpu_blocks_override is None
        and parsed.gpu_memory_utilization == parser.get_default("gpu_memory_utilization")
    )


def _events_config(endpoint: str) -> Any:
    from vllm.config.kv_events import KVEventsConfig

    return KVEventsConfig(enable_kv_cache_events=True, publisher="zmq", endpoint=endpoint)


def _transfer_config(fields: dict[str, Any]) -> Any:
    from vllm.config.kv_transfer import KVTransferConfig

    return KVTransferConfig(**fields)


def _unknown(word: str, parser: argparse.ArgumentParser) -> UsageError:
    flag = word.partition("=")[0]
    if not re.match(r"--?\w", flag):
        return UsageError(f"engine vllm: unexpected argument {word!r}")
    flags = [name for name in parser._option_string_actions if name.startswith("--")]
    return UsageError(f"engine vllm has no argument {flag}{nearest(flag, flags)}")
