"""The options of prefill workers on the command line and in the environment, named as the reference names them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

import msgspec

from dynamo_cli.disagg.conditional import ConditionalDisagg
from dynamo_cli.disagg.options import PREFILL_TIMEOUT_S, DisaggOptions
from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.http.limits import number
from dynamo_cli.runtime.switches import is_on

_ENFORCE, _CONDITIONAL = "DYN_ENFORCE_DISAGG", "DYN_ROUTER_CONDITIONAL_DISAGG"
_CONFIG, _CONFIG_FLAG = "DYN_ROUTER_CONDITIONAL_DISAGG_CONFIG", "--router-conditional-disagg-config"
_TIMEOUT = "DYN_PREFILL_TIMEOUT_SECS"


def add_disagg_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "prefill workers", f"they compute the prompts of the others; {_TIMEOUT}: patience"
    )
    group.add_argument(
        "--enforce-disagg",
        action=argparse.BooleanOptionalAction,
        help=f"refuse requests while no prefill worker can take them ({_ENFORCE}; default off: workers do it all)",
    )
    group.add_argument(
        "--router-conditional-disagg",
        action=argparse.BooleanOptionalAction,
        help=f"let decode workers compute short prompts themselves ({_CONDITIONAL}; default off)",
    )
    group.add_argument(
        _CONFIG_FLAG,
        metavar="JSON",
        help=f"when they do: {', '.join(ConditionalDisagg.__struct_fields__)} ({_CONFIG})",
    )


def disagg_options(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> DisaggOptions:
    """Raises UsageError, which names the option or variable."""
    enforce, conditional = arguments.enforce_disagg, arguments.router_conditional_disagg
    enforce = is_on(_ENFORCE, environ) if enforce is None else enforce
    conditional = is_on(_CONDITIONAL, environ) if conditional is None else conditional
    given = arguments.router_conditional_disagg_config
    place, text = (_CONFIG_FLAG, given) if given is not None else (_CONFIG, environ.get(_CONFIG, ""))
    config = _config(place, text) if text else ConditionalDisagg()
    if text and not conditional:
        raise UsageError(f"{place} says when prompts stay with decode workers; add --router-conditional-disagg")
    if conditional and enforce:
        raise UsageError("--enforce-disagg and --router-conditional-disagg: prompts cannot both have to leave and stay")
    patience = number(_TIMEOUT, PREFILL_TIMEOUT_S, environ)
    if patience <= 0:
        raise UsageError(f"{_TIMEOUT}={environ[_TIMEOUT]!r} must be a number of seconds above 0")
    return DisaggOptions(enforce, patience, config if conditional else None)


def _config(place: str, text: str) -> ConditionalDisagg:
    try:
        return msgspec.json.decode(text, type=ConditionalDisagg)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{place}: {error}") from None
