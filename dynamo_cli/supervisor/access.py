"""What clients need to be let in by the public port of a plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from dynamo_cli.runtime.control import Access
from dynamo_cli.topology.process import Plan

KEYS = ("DYN_API_KEYS", "DYN_API_KEYS_FILE")


def access_of(plan: Plan, environ: Mapping[str, str]) -> Access:
    """By the command lines of its frontends and the environment that they inherit."""
    frontends = [spec for spec in plan.processes if spec.kind == "frontend"]
    words = {word for spec in frontends for word in spec.argv}
    return Access(
        api_keys="--api-keys-file" in words or bool(frontends and any(environ.get(name) for name in KEYS)),
        client_certificate="--tls-client-ca-cert-path" in words,
    )
