"""Memory that ran out: of GPUs, of the machine, of the KV cache. The numbers are those of the message."""

from __future__ import annotations

import math
import re

from dynamo_cli.supervisor.hints.rule import Advice, Failed, rule

SHARES = {
    "vllm": ("--gpu-memory-utilization", 0.9),
    "sglang": ("--mem-fraction-static", 0.88),
    "trtllm": ("--kv_cache_free_gpu_memory_fraction", 0.9),
}
"""Of each engine family the flag for its share of a GPU's memory, and what it takes without the flag."""
LENGTHS = {"vllm": "--max-model-len", "sglang": "--context-length", "trtllm": "--max_seq_len", "llamacpp": "--ctx-size"}
STEP, MARGIN = 0.05, 0.02
HALF_A_CONTEXT = 2048


def _out_of_gpu_memory(match: re.Match[str], failed: Failed) -> Advice:
    wanted, total, free = (match.groupdict().get(name) for name in ("wanted", "total", "free"))
    numbers = [f"{wanted} wanted" if wanted else "", f"{free} free of {total}" if free else ""]
    told = ", ".join(number for number in numbers if number)
    what = f"out of GPU memory ({told})" if told else "out of GPU memory"
    if failed.family == "llamacpp":
        return Advice(what, f"give fewer --n-gpu-layers or {_shorter(failed)}")
    if failed.family not in SHARES:
        return Advice(what, "give the engine a smaller share of the GPU, a shorter context, or more GPUs")
    return Advice(what, f"give {_smaller_share(failed)} or {_shorter(failed)}; `dynamo doctor` says who holds the GPU")


def _smaller_share(failed: Failed) -> str:
    flag, default = SHARES[failed.family]
    now = _number(failed.value(flag, flag.replace("-", "_"))) or default
    return f"{flag} {max(STEP, now - STEP):.2f}"


def _shorter(failed: Failed) -> str:
    flag = LENGTHS.get(failed.family)
    if flag is None:
        return "a shorter context"
    now = _number(failed.value(flag))
    if now and now > HALF_A_CONTEXT:
        return f"{flag} {int(now) // 2}"
    return f"a smaller {flag}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _more_than_is_free(match: re.Match[str], failed: Failed) -> Advice:
    free, total, share = float(match["free"]), float(match["total"]), match["share"]
    what = f"only {free:g} of {total:g} GiB are free, and the engine wants {share} of them all"
    fits = math.floor((free / total - MARGIN) * 100) / 100
    if fits < STEP:
        return Advice(what, "end what else holds that memory; `dynamo doctor` says who")
    return Advice(what, f"give --gpu-memory-utilization {fits:.2f}, or end what else holds that memory")


def _cache_too_small(match: re.Match[str], failed: Failed) -> Advice:
    what = f"the KV cache has no room for one sequence of {match['length']} tokens"
    longest = match.groupdict().get("longest")
    if longest:
        return Advice(what, f"give --max-model-len {longest}, or a larger {_share_flag(failed)}")
    return Advice(what, f"give a smaller --max-model-len, or a larger {_share_flag(failed)}")


def _cache_has_no_room(match: re.Match[str], failed: Failed) -> Advice:
    what = "the weights leave no memory for the KV cache"
    flag, default = SHARES.get(failed.family, SHARES["vllm"])
    now = _number(failed.value(flag)) or default
    larger = f"give {flag} {min(0.95, now + STEP):.2f}" if now < 0.95 else "give more GPUs"
    return Advice(what, f"{larger}, more GPUs (--tensor-parallel-size), or a smaller or quantized model")


def _sglang_fraction(match: re.Match[str], failed: Failed) -> Advice:
    least = (math.floor(float(match["least"]) * 100) + 1) / 100
    if least >= 1:
        return Advice("the weights do not fit on the GPU", "give more GPUs (--tp-size) or a quantized model")
    return Advice("the weights leave no memory for the KV cache", f"give --mem-fraction-static {least:.2f}")


def _share_flag(failed: Failed) -> str:
    return SHARES.get(failed.family, SHARES["vllm"])[0]


def _fewer_sequences(match: re.Match[str], failed: Failed) -> Advice:
    many = int(match["many"])
    what = f"out of GPU memory while warming up with {many} sequences"
    return Advice(what, f"give --max-num-seqs {max(1, many // 2)} or {_smaller_share(failed._replace(family='vllm'))}")


def _out_of_memory(match: re.Match[str], failed: Failed) -> Advice:
    wanted = match.groupdict().get("bytes")
    what = f"out of memory ({int(wanted) / 2**30:.1f} GiB wanted)" if wanted else "out of memory"
    if failed.family == "vllm":
        return Advice(what, "give a smaller --kv-cache-memory-bytes or --max-model-len, or fewer replicas")
    return Advice(what, f"give {_shorter(failed)}, fewer replicas, or a smaller model")


GB = r"[\d.]+ [KMGT]i?B"
RULES = (
    rule(
        "gpu-memory",
        rf"(?:CUDA|HIP) out of memory\. Tried to allocate (?P<wanted>{GB})\.?"
        rf"(?:.*?total capacity of (?P<total>{GB}) of which (?P<free>{GB}) is free)?",
        _out_of_gpu_memory,
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
        "79.10 GiB of which 512.00 MiB is free. Process 4711 has 61.00 GiB memory in use.",
    ),
    rule(
        "gpu-memory-warm-up",
        r"CUDA out of memory occurred when warming up \w+ .*?with (?P<many>\d+) dummy requests",
        _fewer_sequences,
        "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests. Please try "
        "lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine.",
        "vllm",
    ),
    rule(
        "gpu-memory-allocation",
        r"CUDA error: out of memory|cudaMalloc failed: out of memory|CUDA runtime error in [^:]*: out of memory"
        r"|CUDA_ERROR_OUT_OF_MEMORY|unable to allocate (?:CUDA|ROCm|Vulkan|Metal)\d* buffer",
        _out_of_gpu_memory,
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 45108.64 MiB on device 0: cudaMalloc failed: "
        "out of memory",
    ),
    rule(
        "gpu-memory-reserved",
        r"(?:Free memory on device|Available memory on node) \S* ?\((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) "
        r"on startup is less than desired [GC]PU memory utilization \((?P<share>[\d.]+)",
        _more_than_is_free,
        "ValueError: Free memory on device cuda:0 (60.21/79.10 GiB) on startup is less than desired GPU memory "
        "utilization (0.9, 71.19 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
        "vllm",
    ),
    rule(
        "kv-cache-length",
        r"max seq len \((?P<length>\d+)\),? \(?[\d.]+ Gi?B KV cache is needed, which is larger than the available "
        r"KV cache memory(?:.*?maximum model length is (?P<longest>[1-9]\d*))?",
        _cache_too_small,
        "ValueError: To serve at least one request with the model's max seq len (8192), (0.35 GiB KV cache is needed, "
        "which is larger than the available KV cache memory (0.05 GiB). Based on the available memory, the estimated "
        "maximum model length is 1088. Try increasing `gpu_memory_utilization`",
        "vllm",
    ),
    rule(
        "kv-cache-length-tokens",
        r"max seq len \((?P<length>\d+)\) is larger than the maximum number of tokens that can be stored in KV cache "
        r"\((?P<longest>\d+)\)",
        _cache_too_small,
        "ValueError: The model's max seq len (131072) is larger than the maximum number of tokens that can be stored "
        "in KV cache (26064). Try increasing `gpu_memory_utilization` or decreasing `max_model_len`",
        "vllm",
    ),
    rule(
        "kv-cache-none",
        r"No available memory for the cache blocks|Not enough memory\. Please try to increase --mem-fraction-static",
        _cache_has_no_room,
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
        "initializing the engine.",
    ),
    rule(
        "kv-cache-fraction",
        r"leave no GPU memory for the KV cache .*?Raise --mem-fraction-static above (?P<least>[\d.]+\d)",
        _sglang_fraction,
        "ValueError: Loaded weights leave no GPU memory for the KV cache under --mem-fraction-static=0.7. Raise "
        "--mem-fraction-static above 0.773 (minimum viable = 1 - available/pre = 0.7730).",
        "sglang",
    ),
    rule(
        "memory",
        r"can't allocate memory: you tried to allocate (?P<bytes>\d+) bytes|std::bad_alloc"
        r"|unable to allocate CPU buffer|failed to allocate CPU buffer of size (?P<buffer>\d+)"
        r"|\[Errno 12\] Cannot allocate memory|^MemoryError\b",
        _out_of_memory,
        "RuntimeError: [enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you "
        "tried to allocate 34359738368 bytes. Error code 12 (Cannot allocate memory)",
    ),
    rule(
        "memory-kv",
        r"on kv cache allocation is less than requested memory for kv \((?P<wanted>[\d.]+)",
        (
            "the machine has no {0} GiB left for the KV cache",
            "give a smaller --kv-cache-memory-bytes or VLLM_CPU_KVCACHE_SPACE, or end what else holds that memory",
        ),
        "ValueError: Available memory on node 0 (3.1/15.6 GiB) on kv cache allocation is less than requested memory "
        "for kv (8.0 GiB). Decrease --kv-cache-memory-bytes, VLLM_CPU_KVCACHE_SPACE, or reduce CPU memory used by "
        "other processes.",
        "vllm",
    ),
)
