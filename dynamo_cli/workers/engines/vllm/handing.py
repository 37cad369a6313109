"""A vLLM worker's part in disaggregation: vLLM's own NIXL connector moves the KV, its parameters go through our hands.

The prefill worker's answer carries what the decode worker's vLLM needs to pull the blocks: we pass it on untouched.
"""

from __future__ import annotations

import importlib.util
from collections.abc import MutableMapping
from typing import Any

from dynamo_cli.errors import EngineFailed, EngineMissing
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.instance import Role

FAMILY = "vllm"
NIXL_PORT = "nixl"
NIXL = "pip install --no-deps nixl nixl-cu13"
QUIET_VARIABLE = "DYNAMO_VLLM_QUIET_NIXL"
"""Set for vLLM's processes when NIXL's progress thread is to stay off."""
_ROLES = {"prefill": "kv_producer", "decode": "kv_consumer"}
_ASKED = {
    "do_remote_decode": True,
    "do_remote_prefill": False,
    "remote_engine_id": None,
    "remote_block_ids": None,
    "remote_host": None,
    "remote_port": None,
}


def hands_over(role: Role) -> bool:
    return role in _ROLES


def ports_of(role: Role) -> tuple[str, ...]:
    """Both sides listen: the decode worker's connector has a side channel too."""
    return (NIXL_PORT,) if hands_over(role) else ()


def connector_of(role: Role, *, on_cpu: bool) -> dict[str, Any]:
    """What vLLM's KVTransferConfig is made of. Raises EngineMissing without NIXL."""
    if importlib.util.find_spec("nixl") is None:
        raise EngineMissing(f"engine vllm hands KV over with NIXL, which is not installed; run `{NIXL}`")
    config = {"kv_connector": "NixlConnector", "kv_role": _ROLES[role]}
    return config | {"kv_buffer_device": "cpu"} if on_cpu else config


def prepare_handing(environ: MutableMapping[str, str], port: int, *, on_cpu: bool) -> None:
    """The side channel on loopback, unless the user says where. On a CPU NIXL's progress thread would burn a core."""
    defaults = {
        "VLLM_NIXL_SIDE_CHANNEL_HOST": "127.0.0.1",
        "VLLM_NIXL_SIDE_CHANNEL_PORT": str(port),
        "UCX_RCACHE_MAX_UNRELEASED": "1024",
    }
    if on_cpu:
        defaults |= {"UCX_TLS": "cma,posix,tcp,self", QUIET_VARIABLE: "1"}
    for name, value in defaults.items():
        environ.setdefault(name, value)


def silence_nixl() -> None:
    """In a process of vLLM: agents without a progress thread, unless they ask for one."""
    from nixl import _api

    config, began = _api.nixl_agent_config, _api.nixl_agent_config.__init__

    def begin(self: Any, *args: Any, **named: Any) -> None:
        began(self, *args, **(named if args else {"enable_prog_thread": False, **named}))

    config.__init__ = begin


def transfer_parameters(request: EngineRequest) -> dict[str, Any] | None:
    """vLLM's `kv_transfer_params` of this request, None when all of it is computed here. Raises EngineFailed."""
    if request.prefill_only:
        return dict(_ASKED)
    if request.handover is None:
        return None
    if request.handover.family != FAMILY:
        raise EngineFailed(f"what an engine of family {request.handover.family} leaves behind is of no use to vllm")
    return request.handover.params


def left_behind(found: Any) -> Handover:
    """`found`: the last RequestOutput of a prefill. Raises EngineFailed when vLLM keeps nothing."""
    if not found.kv_transfer_params:
        raise EngineFailed(
            "vLLM keeps nothing for others: its worker needs --disaggregation-mode prefill"
        )
    return Handover(FAMILY, found.kv_transfer_params)
