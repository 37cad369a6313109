"""What a worker does of a request, under the reference's flags."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.instance import HALVES, Role

FLAG = "--disaggregation-mode"
VARIABLES = ("DYN_VLLM_DISAGGREGATION_MODE", "DYN_TRTLLM_DISAGGREGATION_MODE")
_ROLES: dict[str, Role] = {
    "agg": "aggregated",
    "aggregated": "aggregated",
    "prefill_and_decode": "aggregated",
    "prefill": "prefill",
    "decode": "decode",
}


def add_role_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        FLAG,
        metavar="{agg,prefill,decode}",
        help="what this worker does of a request; one that prefills serves NAMESPACE.prefill.generate (default agg)",
    )
    for role in HALVES:
        parser.add_argument(
            f"--is-{role}-worker", action=argparse.BooleanOptionalAction, help=f"the same as {FLAG} {role}"
        )


def role_of(parsed: argparse.Namespace, environ: Mapping[str, str]) -> Role:
    """Raises UsageError for an unknown role and for two of them."""
    asked = {role for role in HALVES if getattr(parsed, f"is_{role}_worker")}
    if parsed.disaggregation_mode is not None:
        asked.add(_role(FLAG, parsed.disaggregation_mode))
    if len(asked) > 1:
        raise UsageError(f"a worker has one role, and it is told to be {' and '.join(sorted(asked))}")
    if asked:
        return _ROLES[asked.pop()]
    for variable in VARIABLES:
        if environ.get(variable):
            return _role(variable, environ[variable])
    return "aggregated"


def _role(place: str, text: str) -> Role:
    role = _ROLES.get(text.strip().lower())
    if role is None:
        raise UsageError(f"{place} {text!r}: want agg, prefill or decode")
    return role
