"""What is wrong with a name, a host or a variable, or None."""

from __future__ import annotations

import ipaddress
import re

from dynamo_cli.topology.words import quoted

OWN_VARIABLES = ("DYN_NAMESPACE", "DYN_DISCOVERY_BACKEND", "DYN_STORE_KV", "DYN_FILE_KV", "DYN_TOKEN")


def name_problem(name: str) -> str | None:
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", name):
        return None
    return f'must be lower-case letters, digits, "-" and "_", at most 40, found {quoted(name)}'


def pool_problem(name: str) -> str | None:
    if name == "frontend":
        return "the name frontend is taken by the frontends; choose another pool name"
    return name_problem(name)


def host_problem(host: str) -> str | None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", host):
            return None
        return f"must be an IP address or a host name, found {quoted(host)}"
    return None


def namespace_problem(namespace: str) -> str | None:
    if re.fullmatch(r"[a-z0-9_-]+", namespace):
        return None
    return f'must be lower-case letters, digits, "-" and "_", found {quoted(namespace)}'


def variable_problem(name: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return "not a name of an environment variable"
    if name == "CUDA_VISIBLE_DEVICES":
        return "is set from gpus; write gpus = [0, 1] in the pool instead"
    if name.startswith(("DYNAMO_", "DYN_PORT_")) or name in OWN_VARIABLES:
        return "is set by dynamo itself; leave it out"
    return None


OWN_NAMES = ("control", "frontend", "supervisor")
"""Of the control socket, of the pool of frontends, and of the supervisor's log."""


def service_problem(name: str) -> str | None:
    if name in OWN_NAMES:
        return f"the name {name} is taken by our own; choose another service name"
    return name_problem(name)


def port_problem(name: str) -> str | None:
    if re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", name):
        return None
    return f'must be lower-case letters, digits, "-" and "_", beginning with a letter, found {quoted(name)}'
