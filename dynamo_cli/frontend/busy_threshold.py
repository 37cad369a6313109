"""Busy thresholds of the workers: their options, and GET and POST /busy_threshold."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.frontend.models import Models
from dynamo_cli.protocol.decode import decode_body
from dynamo_cli.protocol.load import BusyThresholds, ThresholdChange
from dynamo_cli.routing.thresholds import SharedThresholds
from dynamo_cli.runtime.http.exchange import Exchange

PATH = "/busy_threshold"
_BLOCKS, _TOKENS = "active_decode_blocks_threshold", "active_prefill_tokens_threshold"
_FRACTION = "active_prefill_tokens_threshold_frac"
_HELP = {
    _BLOCKS: "a worker with a larger share of its KV blocks in use is busy, 0 to 1",
    _TOKENS: "a worker with more prompt tokens still to be prefilled is busy",
    _FRACTION: "the same, as a multiple of the worker's max_num_batched_tokens",
}
_body = msgspec.json.Decoder(ThresholdChange)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("busy workers", "requests are refused while all workers are busy; off by default")
    for name, words in _HELP.items():
        older = ("--busy-threshold",) if name == _BLOCKS else ()
        group.add_argument(_flag(name), *older, dest=name, metavar="N", help=f"{words} ({_variable(name)})")


def busy_thresholds(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> BusyThresholds:
    """Raises UsageError, which names the option or variable."""
    given: dict[str, Any] = {}
    for name in _HELP:
        flag, variable = getattr(arguments, name), _variable(name)
        place, text = (_flag(name), flag) if flag is not None else (variable, environ.get(variable, ""))
        if text and text.lower() != "none":
            given[name] = _number(name, place, text)
    return BusyThresholds(**given)


class BusyThresholdRoutes:
    """The handlers. A change reaches all frontends of the deployment."""

    def __init__(self, models: Models, shared: SharedThresholds) -> None:
        self._models = models
        self._shared = shared

    def list_all(self, exchange: Exchange) -> None:
        thresholds = self._shared.thresholds
        exchange.send_json(
            {"thresholds": [_described(model.name, thresholds.of(model.name)) for model in self._models]}
        )

    def change(self, exchange: Exchange) -> None:
        """Answers what counts then; a body with nothing but the model changes nothing. Raises InvalidRequest,
        ModelMissing and NotReady."""
        change = decode_body(exchange.request.body, _body)
        model = self._models.get(change.model).name
        changes = any(getattr(change, name) is not msgspec.UNSET for name in _HELP)
        exchange.send_json(
            _described(model, self._shared.change(change) if changes else self._shared.thresholds.of(model))
        )


def _described(model: str, thresholds: BusyThresholds) -> dict[str, Any]:
    return {"model": model, **msgspec.structs.asdict(thresholds)}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _variable(name: str) -> str:
    return f"DYN_{name.upper()}"


def _number(name: str, place: str, text: str) -> float | int:
    try:
        value = int(text) if name == _TOKENS else float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf or (name == _BLOCKS and value > 1):
        want = {
            _BLOCKS: "a number from 0 to 1",
            _TOKENS: "a whole number of tokens",
            _FRACTION: "a number of 0 or more",
        }
        raise UsageError(f"{place} {text!r}: want {want[name]}")
    return value
