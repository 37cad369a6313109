"""The mock engine: the timing of a GPU engine without a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from dynamo_cli.errors import UsageError
from dynamo_cli.workers.engines.base import EngineLaunch, EngineOptions, EngineSpec

if TYPE_CHECKING:
    from dynamo_cli.workers.engine import Engine

Count = Annotated[int, Meta(ge=1)]
Ratio = Annotated[float, Meta(ge=0)]


class MockOptions(EngineOptions, frozen=True, kw_only=True):
    """`speedup_ratio` divides every step time, 0 means no delay; `decode_speedup_ratio` divides decoding further.

    `num_gpu_blocks` of `block_size` tokens; `max_model_len` in tokens, 0 is the model's own; `startup_time` in seconds.
    `max_loras`: adapters at a time, of which each says other words. `embedding_size`: numbers in a vector; 0 generates.
    `num_host_blocks` more keep what the GPU's cache evicts, and come back at `h2d_bandwidth` GB/s with
    `kv_bytes_per_token` (the default: layers x 2 x KV heads x head size x bytes = 32 x 2 x 8 x 128 x 2).
    `kv_transfer_bandwidth`: GB/s at which KV comes from a prefill worker, which keeps it for `kv_keep_s` seconds when
    nobody fetches it; `bootstrap`: decode workers are told beforehand where they will find it, as SGLang's are.
    """

    speedup_ratio: Ratio = 1.0
    decode_speedup_ratio: Ratio = 1.0
    num_gpu_blocks: Count = 16384
    block_size: Count = 64
    max_num_seqs: Count = 256
    max_num_batched_tokens: Count = 8192
    enable_prefix_caching: bool = True
    num_host_blocks: Annotated[int, Meta(ge=0)] = 0
    h2d_bandwidth: Annotated[float, Meta(gt=0)] = 64.0
    kv_bytes_per_token: Count = 131072
    kv_transfer_bandwidth: Annotated[float, Meta(gt=0)] = 64.0
    kv_keep_s: Annotated[float, Meta(gt=0)] = 30.0
    bootstrap: bool = False
    max_model_len: Annotated[int, Meta(ge=0)] = 0
    startup_time: Annotated[float, Meta(ge=0)] = 0.0
    seed: int = 0
    max_loras: Annotated[int, Meta(ge=0)] = 0
    embedding_size: Annotated[int, Meta(ge=0, le=65536)] = 0

    def checked(self) -> MockOptions:
        """Raises UsageError for options that are right each but not together."""
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise UsageError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) is less than "
                f"max_num_seqs ({self.max_num_seqs}): not every sequence could decode in a step"
            )
        if self.num_host_blocks and not self.enable_prefix_caching:
            raise UsageError("num_host_blocks keeps cached prefixes, and enable_prefix_caching is off")
        return self


class MockSpec(EngineSpec):
    name = "mock"
    summary = "simulates a batching engine's timing; real tokenizer, no weights"
    options_type = MockOptions
    headless = True
    disaggregation = "prefill_first"

    def available(self) -> str | None:
        return None

    def create(self, launch: EngineLaunch) -> Engine:
        from dynamo_cli.workers.engines.arguments import with_args
        from dynamo_cli.workers.engines.mock.engine import MockEngine

        options = with_args(launch.options or MockOptions(), launch.args, self.name)
        return MockEngine(options.checked(), launch)
