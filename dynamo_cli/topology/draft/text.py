"""A drafted topology as TOML, each value with the reason for it."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from dynamo_cli.disagg.transfer.nixl_agent import INSTALL
from dynamo_cli.estimate.result import MemoryEstimate
from dynamo_cli.gpus.usable import memory_words
from dynamo_cli.topology.draft.draft import Draft
from dynamo_cli.topology.draft.facts import Facts
from dynamo_cli.topology.show import toml_value

WIDTH = 116
"""A comment that would make a line longer stands above it."""


def draft_text(draft: Draft, facts: Facts, file: str, command: str) -> str:
    """`file`: its name, for the commands it tells of. `command` that made it."""
    head = map(_comment, _head(draft, facts, file, command))
    return "\n".join([*head, *_serving(draft), *_pools(draft)]) + "\n"


def _comment(line: str) -> str:
    """Names of files may hold anything, a TOML comment may not."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _head(draft: Draft, facts: Facts, file: str, command: str) -> Iterator[str]:
    yield f"# {draft.model} on {machine_words(facts)}."
    yield "#"
    yield f"#   {command}"
    yield f"#   dynamo plan {file}" + (f" --gpus {facts.described}" if facts.described else "")
    yield f"#   dynamo up {file}"
    yield "#"
    yield from (f"# {line}" for line in _memory(draft, facts))
    yield ""


def machine_words(facts: Facts) -> str:
    gpus = f"{len(facts.gpus)} GPU{'s' * (len(facts.gpus) != 1)}"
    if facts.described:
        return f"a machine with {gpus} ({facts.described})"
    memory = f"{memory_words(facts.main_memory)} of memory available"
    return f"this machine: {gpus if facts.gpus else 'no GPU'}, {memory}"


def _memory(draft: Draft, facts: Facts) -> Iterator[str]:
    estimate = draft.estimate
    if estimate is None:
        why = draft.unknown or f"engine {draft.engine} holds no weights"
        yield from wrap(f"How much memory a worker needs is not estimated: {why}", WIDTH - 2, break_long_words=False)
        return
    yield f"What a worker will hold{f' on each of its {draft.ranks} GPUs' if draft.ranks > 1 else ''}, as an estimate:"
    for label, size in (("weights", estimate.weights), ("KV cache", estimate.kv_cache), ("beside", estimate.overhead)):
        yield f"  {label:<10}{memory_words(size):>10}"
    yield f"  {'together':<10}{memory_words(estimate.total):>10}{_of(draft, facts)}"
    yield (
        f"{memory_words(estimate.kv_bytes_per_token)} a token make {estimate.kv_tokens:,} tokens of KV: "
        f"{estimate.concurrency:.1f} requests of {estimate.context:,} tokens at a time."
    )


def _of(draft: Draft, facts: Facts) -> str:
    room = draft.units.memory if draft.units else facts.main_memory
    return f"  of {memory_words(room)}" if room else ""


def _serving(draft: Draft) -> Iterator[str]:
    yield from aligned([("name", draft.name, ""), ("model", draft.model.replace("${", "$${"), "")])
    yield ""
    yield "[frontend]"
    yield "port = 8000"
    yield ""
    yield "[router]"
    several = max(draft.pools.values()) > 1
    mode = "kv" if several else "least-loaded"
    why = "requests go where their prefix is in the KV cache" if several else "there is no other worker to choose"
    yield from aligned([("mode", mode, why)])


def _pools(draft: Draft) -> Iterator[str]:
    for name, workers in draft.pools.items():
        yield ""
        yield from _role_words(draft, name)
        yield f"[workers.{name}]"
        yield from aligned(list(_pool(draft, name, workers)))
        if draft.options:
            yield ""
            yield f"[workers.{name}.options]"
            yield from aligned(list(_options(draft)))


def _role_words(draft: Draft, pool: str) -> Iterator[str]:
    if pool == "prefill":
        yield "# Prompts are computed here, by a quarter of the workers or by one; their KV moves to the pool decode."
        if draft.engine == "vllm":
            yield f"# vLLM moves it through NIXL: {INSTALL}"
    elif draft.workers > 1 and len(draft.pools) == 1:
        yield "# Each worker computes prompts and answers. `dynamo init --disagg` gives prompts workers of their own,"
        yield "# which pays from about 4,096 tokens a prompt on: shorter ones hardly stall the streams of others."


def _pool(draft: Draft, name: str, workers: int) -> Iterator[tuple[str, object, str]]:
    yield "engine", draft.engine, draft.engine_reason
    if len(draft.pools) > 1:
        yield "role", name, "asked for with --disagg"
    yield "replicas", workers, _replicas_words(draft)
    yield from _gpus(draft)
    if draft.args:
        yield "args", list(draft.args), _context_words(draft)


def _replicas_words(draft: Draft) -> str:
    if draft.units:
        return f"{draft.units.words}, {draft.ranks} to a worker"
    return "" if draft.unknown else "workers on one CPU would only share its cores"


def _gpus(draft: Draft) -> Iterator[tuple[str, object, str]]:
    units = draft.units
    if units is None:
        yield "gpus", "auto" if draft.unknown else 0, "it computes on the CPU" if not draft.unknown else ""
        return
    if units.profile:
        yield "gpus", f"mig-{units.profile}", "a MIG instance to each worker"
    else:
        yield "gpus", draft.ranks, _ranks_words(draft)
    if units.least:
        yield "gpu_memory", memory_words(units.least).replace(".0 ", ""), "not on the smaller GPUs of this machine"
    if draft.ranks > 1:
        yield "tensor_parallel", draft.ranks, "all GPUs of a worker share one copy of the model"


def _ranks_words(draft: Draft) -> str:
    if draft.alone is None:
        return "the weights and the KV of a whole context fit on one"
    return f"the fewest that do: on {draft.ranks // 2} {_lacking(draft.alone)}"


def _lacking(estimate: MemoryEstimate) -> str:
    if estimate.kv_tokens:
        return f"there is KV for {estimate.kv_tokens:,} tokens"
    return f"the weights take {memory_words(estimate.weights)} each and leave no room for KV"


def _context_words(draft: Draft) -> str:
    if draft.wishes.context:
        return "tokens of a request, asked for with --context"
    made = f"; the model was made for {draft.trained:,}" if draft.trained > draft.context else ""
    return f"tokens of a request{made}"


def _options(draft: Draft) -> Iterator[tuple[str, object, str]]:
    for key, value in draft.options.items():
        words = _context_words(draft) if key == "max_model_len" else "requests at a time"
        yield key, value, words


def aligned(rows: list[tuple[str, object, str]]) -> list[str]:
    """`key = value  # why`, keys and comments below each other; a comment that is too long stands above."""
    widest = max(len(key) for key, _, _ in rows)
    said = [(f"{key.ljust(widest)} = {toml_value(value)}", why) for key, value, why in rows]
    column = max((len(text) for text, _ in said if len(text) <= WIDTH // 3), default=0)
    lines = []
    for text, why in said:
        behind = f"{text.ljust(column)}  # {why}" if why else text
        lines += [behind] if len(behind) <= WIDTH else [f"# {why}", text]
    return lines
