"""`python -m tests.support_matrix`: docs/support.md, made of what engines declare and of the tests that check it.

What a started engine declares is recorded by the contract suite in workers/engines/declared.json, which holds each run
to it; what its spec declares is asked. Each cell names no test that does not exist.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from dynamo_cli.workers.engine import EngineInfo
from dynamo_cli.workers.engines.base import EngineSpec
from dynamo_cli.workers.engines.registry import LATER, SPECS
from tests.workers.engines.cases import CASES, Case

TESTS = Path(__file__).parent
DECLARED = TESTS / "workers" / "engines" / "declared.json"
FIELDS = (
    *("input", "logprobs", "guided", "kv_events", "prefix_caching", "controls", "max_adapters", "modalities"),
    *("embedding_size", "data_parallel_size"),
)
"""Of EngineInfo: what it can do, not how much of it it has."""
CONTRACT, DISAGG = "workers/engines/test_contract.py", "workers/engines/test_disagg_contract.py"

HEAD = """\
# What has been run

<!-- made by `make support` -->

Each cell tells of one engine and one thing it can do:

- **ran**: a test of this repository starts the real engine and checks it, on Linux x86_64 without a GPU;
- **fake**: a test checks it with a stand-in for the engine, its package, or the driver's library;
- **not run**: there is code for it, and no test has run it;
- –: the engine does not declare it. A request or topology that asks for it is refused with a line.

The real engines: llamacpp is xllamacpp (`make test`); vllm is its build for the CPU (`make test-engines`). mock and
echo simulate one; custom is whatever you write: its cells tell of the engines in the tests.

"""
GPUS = """
On GPUs: choosing, giving and freeing them was run on a machine with one NVIDIA H200, and is tested against a stand-in
for the driver's library; no engine's answers on a GPU are checked by a test here.
"""


class Subject(NamedTuple):
    """An engine: its spec, the cases of it in the contract suite, and what these declared when they ran."""

    spec: EngineSpec
    cases: tuple[Case, ...]
    declared: tuple[dict[str, Any], ...]

    def says(self, field: str) -> bool:
        return any(declared[field] not in (False, 0, [], ()) for declared in self.declared)

    def mentions(self, words: str) -> bool:
        """Whether its adapter has code that begins so, for what no case of the suite switches on."""
        package = Path(sys.modules[type(self.spec).__module__].__file__ or "").parent
        return any(words in file.read_text() for file in package.rglob("*.py"))


class Row(NamedTuple):
    """`can`: whether an engine declares it. `contract`: the test of all that do; `ran`, `fake`: those of one engine."""

    what: str
    can: Callable[[Subject], bool]
    contract: str = ""
    ran: dict[str, str] = {}
    fake: dict[str, str] = {}


def _always(subject: Subject) -> bool:
    return True


def _says(field: str) -> Callable[[Subject], bool]:
    return lambda subject: subject.says(field)


def _has(words: str) -> Callable[[Subject], bool]:
    return lambda subject: subject.mentions(words)


ROWS = {
    "Requests": [
        Row("streams of several requests at once", _always, f"{CONTRACT}::test_four_streams_run_together"),
        Row("stop conditions", _always, f"{CONTRACT}::test_a_stop_condition_ends_it_and_is_not_part_of_it"),
        Row("a client that leaves frees its place", _always, f"{CONTRACT}::test_a_closed_iterator_makes_room"),
        Row(
            "temperature and seed",
            lambda subject: any(case.samples for case in subject.cases),
            f"{CONTRACT}::test_the_same_seed_gives_the_same_answer",
        ),
        Row("logprobs", _says("logprobs"), f"{CONTRACT}::test_logprobs_where_it_has_them"),
        Row(
            "guided decoding (JSON schema, regex, choice, grammar)",
            _says("guided"),
            f"{CONTRACT}::test_guided_decoding_where_it_can",
        ),
        Row(
            "embeddings",
            _has("async def embed("),
            ran={
                "mock": "integration/test_embeddings.py::test_a_deployment_that_makes_vectors",
                "vllm": "integration/test_vllm.py::test_a_deployment_of_vectors",
            },
        ),
        Row(
            "images",
            _has("modalities"),
            ran={
                "custom": "integration/test_media.py::test_an_engine_gets_what_was_sent_in_order",
                "vllm": "workers/engines/test_vllm_media.py::test_it_sees_each_picture_in_its_place",
            },
        ),
        Row(
            "LoRA adapters",
            _says("max_adapters"),
            f"{CONTRACT}::test_it_does_what_it_declares_and_nothing_else",
        ),
    ],
    "Routing": [
        Row("tells its load", _has("def load("), f"{CONTRACT}::test_the_load_it_tells_is_that_of_its_sequences"),
        Row("KV events", _says("kv_events"), f"{CONTRACT}::test_its_events_are_what_it_has_cached"),
        Row("statistics in /metrics", _has("def metrics("), f"{CONTRACT}::test_its_statistics_are_series_with_a_type"),
        Row(
            "a request goes on elsewhere when its worker dies",
            lambda subject: any(declared["input"] == "tokens" for declared in subject.declared),
            ran={
                "llamacpp": "integration/real_model/test_migration.py::test_the_seam_is_exact",
                "mock": "integration/test_migration.py::test_kill_9_of_a_worker_is_a_short_pause",
                "vllm": "integration/test_vllm.py::test_a_deployment_of_real_engines",
            },
        ),
    ],
    "Prefill and decode apart": [
        Row(
            "the KV moves, the text is that of one worker",
            lambda subject: bool(subject.spec.disaggregation),
            f"{DISAGG}::test_the_text_is_that_of_one_worker",
        ),
        Row(
            "over NIXL",
            lambda subject: subject.mentions("nixl") or subject.mentions("Nixl"),
            ran={
                "llamacpp": "workers/engines/test_llamacpp_disagg.py::test_nixl_moves_the_same",
                "vllm": "integration/test_vllm_disagg.py::"
                "test_one_worker_prefills_another_decodes_and_the_answers_are_those_of_one",
            },
        ),
    ],
    "Operation": [
        Row("drains", _always, f"{CONTRACT}::test_draining_lets_what_runs_end"),
        Row(
            "its death is told",
            lambda subject: any(case.crash for case in subject.cases),
            f"{CONTRACT}::test_a_crash_is_told_and_cuts_what_ran",
        ),
        Row("leaves nothing when it is stopped", _always, f"{CONTRACT}::test_stop_leaves_nothing"),
        Row(
            "controls (sleep, wake, pause, profile, clear the cache)",
            _says("controls"),
            f"{CONTRACT}::test_it_does_what_it_declares_and_nothing_else",
        ),
    ],
    "Size": [
        Row(
            "several GPUs a worker (`tensor_parallel`)",
            lambda subject: subject.spec.splits,
            fake={"vllm": "topology/test_plan.py::test_a_whole_plan"},
        ),
        Row(
            "several ranks a worker (data parallel)",
            _has("data_parallel_size"),
            ran={"vllm": "workers/engines/test_vllm.py::test_data_parallel_ranks_are_one_worker"},
        ),
        Row(
            "secondary nodes (`--headless`)",
            lambda subject: subject.spec.headless,
            ran={"mock": "workers/test_host_options.py::test_a_headless_worker_is_an_engine_nobody_finds"},
        ),
        Row(
            "GPUs chosen and given",
            lambda subject: subject.spec.splits,
            fake={"vllm": "integration/test_gpus.py"},
        ),
    ],
}


def page() -> str:
    return HEAD + "\n".join(_section(title, rows) for title, rows in ROWS.items()) + GPUS


def subjects() -> list[Subject]:
    recorded = json.loads(DECLARED.read_text())
    found = []
    for spec in SPECS.values():
        cases = tuple(case for case in CASES if case.name == spec.name)
        declared = tuple(recorded[str(case)] for case in cases if str(case) in recorded)
        found.append(Subject(spec, cases, declared))
    return found


def cell(row: Row, subject: Subject) -> str:
    """`ran` needs a case of the engine that has run, or a test of its own."""
    name = subject.spec.name
    if not row.can(subject):
        return "–"
    if name in row.ran or (row.contract and subject.declared):
        return "ran"
    return "fake" if name in row.fake else "not run"


def declared(info: EngineInfo) -> dict[str, Any]:
    """What is recorded of it."""
    told = json.loads(msgspec.json.encode(info))
    return {field: told[field] for field in FIELDS}


def record(case: str, info: EngineInfo) -> None:
    """Write down what the engine of a case declares."""
    recorded = json.loads(DECLARED.read_text()) if DECLARED.exists() else {}
    recorded[case] = declared(info)
    DECLARED.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")


def tests() -> list[str]:
    """Every test that a cell rests on, as FILE::NAME below tests/."""
    rows = [row for rows in ROWS.values() for row in rows]
    return [test for row in rows for test in (row.contract, *row.ran.values(), *row.fake.values()) if test]


@cache
def functions_in(file: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, functions)}


def _section(title: str, rows: list[Row]) -> str:
    engines = subjects()
    names = [subject.spec.name for subject in engines]
    head = f"| {title} | {' | '.join([*names, *LATER])} |\n|{'---|' * (1 + len(names) + len(LATER))}\n"
    later = ["no adapter"] * len(LATER)
    lines = [f"| {row.what} | {' | '.join([*(cell(row, each) for each in engines), *later])} |\n" for row in rows]
    return head + "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page())
