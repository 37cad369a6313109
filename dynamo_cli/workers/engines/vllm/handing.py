"""A vLLM worker's part in disaggregation: vLLM's own NIXL connector moves the KV, its parameters go through our hands.

The prefill worker's answer carries what the decode worker's vLLM needs to pull the blocks: we pass it on untouched.
"""

from __future__ import annotations

import importlib.util
from collections.abc import MutableMapping
from typing import Any

from dynamo_cli.errors import EngineFailed, EngineMissing, TransferFailed
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.instance import HALVES, Role

FAMILY = "vllm"
NIXL_PORT = "nixl"
NIXL = "pip install --no-deps nixl nixl-cu13"
DELAY_VARIABLE = "DYNAMO_VLLM_NIXL_DELAY_US"
"""For vLLM's processes: microseconds between two looks of NIXL's progress thread. Unset: it never sleeps."""
DELAY_US = 1000
LET_GO = "dynamo_let_go"
"""A method of vLLM's workers."""
REMEMBERED = 4096
"""Hand-overs; one that is older has long expired where it was left."""
_ROLES = {"prefill": "kv_producer", "decode": "kv_consumer"}
_ASKED = {
    "do_remote_decode": True,
    "do_remote_prefill": False,
    "remote_engine_id": None,
    "remote_block_ids": None,
    "remote_host": None,
    "remote_port": None,
}


def ports_of(role: Role) -> tuple[str, ...]:
    """Both sides listen: the decode worker's connector has a side channel too."""
    return (NIXL_PORT,) if role in HALVES else ()


def connector_of(role: Role, *, on_cpu: bool) -> dict[str, Any]:
    """What vLLM's KVTransferConfig is made of. Raises EngineMissing without NIXL."""
    if importlib.util.find_spec("nixl") is None:
        raise EngineMissing(f"engine vllm hands KV over with NIXL, which is not installed; run `{NIXL}`")
    config: dict[str, Any] = {"kv_connector": "NixlConnector", "kv_role": _ROLES[role]}
    if on_cpu:
        config |= {"kv_buffer_device": "cpu", "kv_connector_extra_config": {"num_threads": 0}}
    return config


def prepare_handing(environ: MutableMapping[str, str], port: int, *, on_cpu: bool) -> list[str]:
    """The side channel on loopback, unless the user says where. On a CPU NIXL leaves the cores to the model.

    Returns the names of what was set, which is of this engine alone.
    """
    defaults = {
        "VLLM_NIXL_SIDE_CHANNEL_HOST": "127.0.0.1",
        "VLLM_NIXL_SIDE_CHANNEL_PORT": str(port),
        "UCX_RCACHE_MAX_UNRELEASED": "1024",
    }
    if on_cpu:
        # Between processes of one machine; without naming the device UCX listens on all of them.
        defaults |= {"UCX_TLS": "cma,posix,tcp,self", "UCX_NET_DEVICES": "lo", DELAY_VARIABLE: str(DELAY_US)}
    added = [name for name in defaults if name not in environ]
    environ.update({name: defaults[name] for name in added})
    return added


def slow_nixl_down(delay_us: int) -> None:
    """In a process of vLLM: let NIXL's progress threads sleep so long after each look.

    Without sleep each burns a core; without the thread an idle prefill worker never answers who wants its KV.
    """
    from nixl import _api

    class Paced(_api.nixlBind.nixlAgentConfig):  # type: ignore[misc]
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, delay_us if name == "pthrDelay" else value)

    _api.nixlBind.nixlAgentConfig = Paced


async def let_go(engine: Any, handover: Handover) -> None:
    """Tell vLLM's workers that nobody will pull these blocks."""
    name = handover.params.get("remote_request_id")
    if handover.family == FAMILY and isinstance(name, str):
        await engine.collective_rpc(LET_GO, args=(name,))


def learn_to_let_go() -> None:
    """In a process of vLLM: its workers understand what `let_go` asks of them."""
    from vllm.v1.worker.worker_base import WorkerBase

    setattr(WorkerBase, LET_GO, _end_lease)


def _end_lease(worker: Any, request_id: str) -> None:
    """The connector frees what has expired when it looks the next time; versions without leases free it themselves."""
    from vllm.distributed.kv_transfer import get_kv_transfer_group, has_kv_transfer_group

    if has_kv_transfer_group():
        leases = getattr(getattr(get_kv_transfer_group(), "connector_worker", None), "_reqs_to_send", {})
        if request_id in leases:
            leases[request_id] = 0.0


class HandOvers:
    """What other workers have left for this one. Each can be fetched once: then its blocks are free for others."""

    def __init__(self) -> None:
        self._fetched: dict[str, None] = {}

    def parameters(self, request: EngineRequest) -> dict[str, Any] | None:
        """vLLM's `kv_transfer_params` of this request, None when all of it is computed here.

        Raises TransferFailed for what vLLM cannot fetch; it would end of it, or read the blocks of another request.
        """
        if request.prefill_only:
            return dict(_ASKED)
        if request.handover is None:
            return None
        family, params = request.handover.family, request.handover.params
        if family != FAMILY:
            raise TransferFailed(f"what an engine of family {family} leaves is of no use to vllm")
        missing = [name for name in (*_ASKED, "remote_request_id") if params.get(name) is None]
        if missing or not params["do_remote_prefill"]:
            raise TransferFailed(f"a hand-over without {missing[0] if missing else 'KV'} says nothing to vLLM")
        name = f"{params['remote_engine_id']} {params['remote_request_id']}"
        if name in self._fetched:
            raise TransferFailed("this KV has been fetched already")
        self._fetched[name] = None
        if len(self._fetched) > REMEMBERED:
            del self._fetched[next(iter(self._fetched))]
        return params


def left_behind(found: Any) -> Handover:
    """`found`: the last RequestOutput of a prefill. Raises EngineFailed when vLLM keeps nothing."""
    if not found.kv_transfer_params:
        raise EngineFailed("vLLM keeps nothing for others: its worker needs --disaggregation-mode prefill")
    return Handover(FAMILY, found.kv_transfer_params)
