"""A topology file, with the settings of the command line, becomes a Topology or all of its problems."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from dynamo_cli.topology.check import Specs, check
from dynamo_cli.topology.layers import read_layers
from dynamo_cli.topology.parts import Frontend, Managed, Pool, Topology
from dynamo_cli.topology.positions import KeyPath
from dynamo_cli.topology.report import Places, Report
from dynamo_cli.topology.schema import TOPOLOGY, key_homes
from dynamo_cli.topology.settings import apply_settings
from dynamo_cli.topology.variables import expand, read_env_file
from dynamo_cli.workers.engines.registry import SPECS

M = TypeVar("M", bound=Managed)
FRONTEND_PATHS = {
    "tls_cert_path": "DYN_TLS_CERT_PATH",
    "tls_key_path": "DYN_TLS_KEY_PATH",
    "tls_client_ca_cert_path": "DYN_TLS_CLIENT_CA_CERT_PATH",
    "api_keys_file": "",
    "request_trace": "",
}


class Document(NamedTuple):
    """What the files and settings say together, before it is judged."""

    values: dict[str, Any]
    report: Report


def read_document(path: Path, sets: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Document:
    """The file with all it extends, its variables and `sets`; raises TopologyError for what cannot be read."""
    layer = read_layers(path)
    report = Report(Places(str(path), layer.places), key_homes())
    variables = {**read_env_file(path.parent / ".env"), **environ}
    document = expand(layer.document, variables, report)
    apply_settings(document, sets, report)
    return Document(document, report)


def load_topology(
    path: Path, sets: Sequence[str] = (), *, specs: Specs = SPECS, environ: Mapping[str, str] = os.environ
) -> Topology:
    """Read and check `path`; raises TopologyError with every problem, sorted by line, those of `sets` last."""
    document, report = read_document(path, sets, environ)
    topology: Topology = TOPOLOGY.read(document, (), report)
    topology = _completed(topology, path, report.places, environ)
    check(topology, specs, report, environ)
    report.raise_problems()
    return topology


def _completed(topology: Topology, path: Path, places: Places, environ: Mapping[str, str]) -> Topology:
    """Defaults that depend on the file's name and place or the environment, and parts that know their names."""
    stem = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_")[:40] or "local"
    return msgspec.structs.replace(
        topology,
        name=topology.name or stem,
        model=_model(topology.model, ("model",), places),
        frontend=_door(topology.frontend, places, environ),
        source=str(path),
        places=places,
        workers={
            name: msgspec.structs.replace(
                _placed(pool, ("workers", name), places),
                model=_model(pool.model, ("workers", name, "model"), places),
                adapters=_adapters(pool, ("workers", name), places),
            )
            for name, pool in topology.workers.items()
            if isinstance(pool, Managed)
        },
        services={
            name: _placed(service, ("services", name), places)
            for name, service in topology.services.items()
            if isinstance(service, Managed)
        },
    )


def _door(frontend: Frontend, places: Places, environ: Mapping[str, str]) -> Frontend:
    """TLS as the environment wants it where the file is silent: its frontends would, and the URL must agree."""
    paths = {}
    for key, variable in FRONTEND_PATHS.items():
        path = getattr(frontend, key)
        if path:
            paths[key] = _located(path, ("frontend", key), places) + ("/" if path.endswith("/") else "")
        elif variable and environ.get(variable):
            paths[key] = str(Path(environ[variable]).expanduser().absolute())
    return msgspec.structs.replace(frontend, **paths)


def _placed(part: M, path: KeyPath, places: Places) -> M:
    cwd = _located(part.cwd, (*path, "cwd"), places) if part.cwd else ""
    if not cwd and isinstance(part, Pool) and part.engine == "custom" and "target" in part.options:
        cwd = _located(".", (*path, "options", "target"), places)  # where its module is
    return msgspec.structs.replace(part, name=str(path[-1]), cwd=cwd)


def _adapters(pool: Pool, path: KeyPath, places: Places) -> dict[str, str]:
    return {name: _located(where, (*path, "adapters", name), places) for name, where in pool.adapters.items()}


def _model(model: str, key: KeyPath, places: Places) -> str:
    return _located(model, key, places) if is_path(model) else model


def _located(text: str, key: KeyPath, places: Places) -> str:
    """A relative path starts at the file that says it; one given on the command line where the user stands."""
    base = Path.cwd() if places.is_set(key) else Path(places.place(key).file).absolute().parent
    return str((base / Path(text).expanduser()).resolve())


def is_path(model: str) -> bool:
    """Whether a model is written as a path, not as a name to look up."""
    return model.startswith(("/", "./", "../", "~")) or model in (".", "..") or model.endswith(".gguf")
