"""How a prompt's KV gets from the worker that computed it to the one that decodes."""

from __future__ import annotations

from typing import Any

import msgspec


class Handover(msgspec.Struct, omit_defaults=True, frozen=True):
    """What a prefill worker leaves for the decode worker, or what both are told beforehand.

    `family`: the engines that understand `params` ("mock", "llamacpp", "vllm", "sglang", "trtllm"); everyone else
    passes them on untouched.
    """

    family: str
    params: dict[str, Any] = {}
