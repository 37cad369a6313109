"""How one component joins a deployment: flag > environment > default."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.instance import DEFAULT_NAMESPACE
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.runtime.token import load_token

DiscoveryKind = Literal["file", "mem"]
RequestPlaneKind = Literal["tcp"]
EventPlaneKind = Literal["tcp", "mem"]
DISCOVERY_KINDS: tuple[DiscoveryKind, ...] = ("file", "mem")
REQUEST_PLANES: tuple[RequestPlaneKind, ...] = ("tcp",)
EVENT_PLANES: tuple[EventPlaneKind, ...] = ("tcp", "mem")
DISCOVERY_VARIABLES = ("DYN_DISCOVERY_BACKEND", "DYN_STORE_KV")
REQUEST_PLANE_VARIABLE = "DYN_REQUEST_PLANE"
EVENT_PLANE_VARIABLE = "DYN_EVENT_PLANE"


@dataclass(frozen=True)
class RuntimeConfig:
    """`host`: the address both planes listen on. `namespace_prefix` widens what a frontend watches.

    `generation`: the supervisor's count of the changes that its replica has been through; see ModelCard.
    """

    paths: DeploymentPaths
    deployment: str = "local"
    service: str = ""
    generation: int = 0
    namespace: str = DEFAULT_NAMESPACE
    namespace_prefix: str | None = None
    discovery: DiscoveryKind = "file"
    discovery_root: Path = Path()
    request_plane: RequestPlaneKind = "tcp"
    event_plane: EventPlaneKind = "tcp"
    host: str = "127.0.0.1"
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False, compare=False)

    @classmethod
    def from_args(
        cls, arguments: argparse.Namespace | None = None, environ: Mapping[str, str] = os.environ
    ) -> RuntimeConfig:
        """UsageError names the flag or variable that is wrong."""

        def setting(flag: str, *variables: str) -> str | None:
            given = getattr(arguments, flag, None)
            return given or next((environ[name] for name in variables if environ.get(name)), None)

        deployment = setting("deployment", "DYNAMO_DEPLOYMENT") or "local"
        home = environ.get("DYNAMO_HOME")
        paths = DeploymentPaths(deployment, Path(home).expanduser() if home else None)
        discovery = setting("discovery_backend", *DISCOVERY_VARIABLES) or "file"
        request_plane = setting("request_plane", REQUEST_PLANE_VARIABLE) or "tcp"
        event_plane = setting("event_plane", EVENT_PLANE_VARIABLE) or "tcp"
        root = setting("discovery_root", "DYN_FILE_KV")
        return cls(
            paths=paths,
            deployment=deployment,
            service=environ.get("DYNAMO_SERVICE", ""),
            generation=int(environ.get("DYNAMO_GENERATION") or 0),
            namespace=setting("namespace", "DYN_NAMESPACE") or DEFAULT_NAMESPACE,
            namespace_prefix=setting("namespace_prefix", "DYN_NAMESPACE_PREFIX"),
            discovery=cast(DiscoveryKind, _one_of("discovery backend", discovery, DISCOVERY_KINDS)),
            discovery_root=Path(root).expanduser().absolute() if root else paths.discovery,
            request_plane=cast(RequestPlaneKind, _one_of("request plane", request_plane, REQUEST_PLANES)),
            event_plane=cast(EventPlaneKind, _one_of("event plane", event_plane, EVENT_PLANES)),
            host=environ.get("DYN_TCP_RPC_HOST") or "127.0.0.1",
            environ=environ,
        )

    @property
    def store(self) -> str:
        """Where it meets others, in words: two processes whose stores differ do not find each other."""
        return f"file {self.discovery_root}" if self.discovery == "file" else f"{self.discovery} of pid {os.getpid()}"

    @cached_property
    def token(self) -> bytes:
        """The deployment's secret, read (or created) when first needed."""
        return load_token(self.paths.token, self.environ)


def add_runtime_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("runtime")
    group.add_argument("--namespace", help="namespace to serve or watch (DYN_NAMESPACE; default dynamo)")
    group.add_argument("--namespace-prefix", help="watch every namespace that starts so (DYN_NAMESPACE_PREFIX)")
    group.add_argument(
        "--discovery-backend",
        "--store-kv",
        dest="discovery_backend",
        metavar="{file,mem}",
        help="where processes find each other (DYN_DISCOVERY_BACKEND; default file)",
    )
    group.add_argument("--request-plane", metavar="{tcp}", help="how requests travel (DYN_REQUEST_PLANE; default tcp)")
    group.add_argument(
        "--event-plane", metavar="{tcp,mem}", help="how KV and load events travel (DYN_EVENT_PLANE; default tcp)"
    )


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> str:
    if value in choices:
        return value
    raise UsageError(f"{what} {value!r} is not available; use {' or '.join(choices)}")
