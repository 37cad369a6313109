"""The layers of docs/architecture.md, and the sizes that keep files readable."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import dynamo_cli

ROOT = Path(dynamo_cli.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

GROUND = {"protocol", "runtime"}
PARTS = {"text", "hub", "estimate", "router", "disagg", "routing", "workers", "frontend"}
OPERATION = GROUND | {"hub", "estimate", "router", "disagg", "gpus", "topology", "workers"}
EVERYTHING = GROUND | PARTS | {"gpus", "topology", "logs", "supervisor", "doctor", "bench", "chat"}

MAY_IMPORT = {
    "protocol": set(),
    "runtime": {"protocol"},
    "text": GROUND | {"hub"},
    "hub": GROUND,
    "estimate": GROUND | {"hub"},
    "router": GROUND,
    "disagg": GROUND,
    "routing": GROUND | {"router", "disagg"},
    "workers": GROUND | {"hub", "estimate", "text", "disagg"},
    "api": GROUND | {"workers"},
    "frontend": GROUND | {"routing", "text", "hub", "disagg"},
    "gpus": GROUND,
    "topology": OPERATION - {"topology"},
    "logs": GROUND,
    "supervisor": OPERATION | {"logs"},
    "doctor": OPERATION | {"supervisor"},
    "bench": OPERATION | {"supervisor", "text"},
    "chat": OPERATION | {"supervisor", "bench"},
    "cli": EVERYTHING,
}
# Of the workers, operation may import only what imports no engine: replay drives the mock's simulator itself.
WORKERS_FOR_OPERATION = ("workers.engines.base", "workers.engines.registry")
SIMULATION = "workers.engines.mock.simulation"

ONLY_HERE: dict[str, str | tuple[str, ...]] = {
    "xllamacpp": "workers/engines/llamacpp/",
    "vllm": "workers/engines/vllm/",
    "sglang": "workers/engines/sglang/",
    "tensorrt_llm": "workers/engines/trtllm/",
    "nixl": ("disagg/transfer/", "workers/engines/vllm/"),
    "pynvml": "gpus/",
    "huggingface_hub": "hub/",
    "gguf": "hub/",
    "tokenizers": "text/",
    "minijinja": "text/",
    "typer": "cli/",
    "opentelemetry": "runtime/otel.py",
}
NEVER_IN_A_COMPONENT = ("typer", "rich", "httpx", "huggingface_hub", "pynvml", "opentelemetry", "difflib")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_of(module: str) -> str:
    return module.split(".")[0]


def imports_of(path: Path) -> Iterator[str]:
    """Absolute names of everything a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    return {name.removeprefix("dynamo_cli.") for name in imports_of(path) if name.startswith("dynamo_cli.")}


def packages() -> set[str]:
    return {path.parent.name for path in ROOT.glob("*/__init__.py")}


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent != ROOT], ids=name_of)
def test_a_file_imports_its_own_package_and_what_is_below(path: Path) -> None:
    package = package_of(name_of(path).replace("/", "."))
    modules = {name for name in own_imports(path) if package_of(name) in packages()}
    upward = {name for name in modules if package_of(name) not in MAY_IMPORT[package] | {package}}
    assert not upward, f"{name_of(path)} must not import {sorted(upward)}"
    if package in ("topology", "supervisor", "doctor", "bench", "chat"):
        engines = {name for name in modules if package_of(name) == "workers"}
        assert all(map(free_of_engines, engines)), f"{name_of(path)} imports {sorted(engines)}"


def free_of_engines(module: str) -> bool:
    """Whether importing it imports no engine: the packages, their spec modules, base, registry and the simulator."""
    if f"{module}.".startswith(f"{SIMULATION}."):
        return True
    parts = module.split(".")
    is_spec = len(parts) >= 4 and parts[3] == "spec"
    return len(parts) <= 2 or is_spec or ".".join(parts[:3]) in WORKERS_FOR_OPERATION


def test_every_package_has_its_place() -> None:
    assert packages() == set(MAY_IMPORT)


def test_packages_form_no_cycle() -> None:
    graph = {package: set[str]() for package in packages()}
    for path in MODULES:
        package = package_of(name_of(path).replace("/", "."))
        if package in graph:
            graph[package] |= {package_of(name) for name in own_imports(path)} & packages() - {package}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_library_with_a_place_is_imported_only_there(path: Path) -> None:
    for library in {name.split(".")[0] for name in imports_of(path)} & set(ONLY_HERE):
        assert name_of(path).startswith(ONLY_HERE[library]), f"{name_of(path)} imports {library}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 450, f"{name_of(path)} is too long"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 70, f"{name_of(path)}:{node.lineno}: {node.name} has {lines} lines"


@pytest.mark.parametrize("package", ["router", SIMULATION.replace(".", "/")])
def test_deciding_packages_do_no_io(package: str) -> None:
    paths = list((ROOT / package).rglob("*.py"))
    assert paths
    for path in paths:
        loaded = {name.split(".")[0] for name in imports_of(path)}
        assert not loaded & {"asyncio", "socket", "time", "os", "threading"}, f"{name_of(path)} does I/O"


def test_what_decides_about_disaggregation_does_no_io() -> None:
    paths = list((ROOT / "disagg").glob("*.py"))
    assert len(paths) > 1
    for path in paths:
        loaded = {name.split(".")[0] for name in imports_of(path)}
        assert not loaded & {"asyncio", "socket", "time", "os", "threading"}, f"{name_of(path)} does I/O"


def test_the_simulator_knows_nothing_of_the_engine_around_it() -> None:
    for path in (ROOT / SIMULATION.replace(".", "/")).rglob("*.py"):
        workers = {name for name in own_imports(path) if name.startswith("workers.")}
        assert all(f"{name}.".startswith(f"{SIMULATION}.") for name in workers), f"{name_of(path)}: {sorted(workers)}"


def test_the_engines_specs_import_no_engine() -> None:
    code = "import dynamo_cli.workers.engines.registry, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"xllamacpp", "vllm", "sglang", "tokenizers", "uvloop"} & set(loaded)


@pytest.mark.parametrize("component", ["frontend", "router", "worker", "mocker"])
def test_a_component_loads_nothing_that_only_people_need(component: str) -> None:
    code = f"""
import sys
from dynamo_cli.cli.main import run
try:
    run([{component!r}, "--help"])
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "usage" in done.stdout.lower()
    assert not set(NEVER_IN_A_COMPONENT) & set(done.stderr.split())


def test_the_python_api_loads_little() -> None:
    code = "import dynamo_cli.api, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {*NEVER_IN_A_COMPONENT, "tokenizers", "minijinja", "xllamacpp"} & set(loaded)


@pytest.mark.parametrize("entry", ["frontend/__main__.py", "workers/__main__.py", "workers/host.py", "cli/main.py"])
def test_entry_modules_import_heavy_libraries_late(entry: str) -> None:
    tree = ast.parse((ROOT / entry).read_text())
    at_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {a.name for node in at_top for a in node.names} | {getattr(node, "module", "") for node in at_top}
    assert not {name.split(".")[0] for name in names if name} & {"typer", "rich", "httpx", "tokenizers"}
