"""How the GPUs of a machine reach each other, as the driver tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple, Protocol

from dynamo_cli.gpus.gpu import Gpu, PciPath, Peer

PATHS: dict[int, PciPath] = {0: "PIX", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
"""By NVML's levels of the common ancestor."""
UNKNOWN = -1


class Attempt(Protocol):
    def __call__(self, call: Any, default: Any) -> Any:
        """What the call returns, the default when the driver refuses."""


class Lanes(NamedTuple):
    """The active NVLink lanes of a GPU: by the PCI address of the GPU at the other end, and those to switches."""

    direct: Mapping[str, int]
    switched: int


def read_peers(pynvml: Any, boards: Sequence[tuple[Any, Gpu]], attempt: Attempt) -> dict[str, dict[str, Peer]]:
    """The peers of each GPU, by UUIDs."""
    addresses = {_address(gpu.bus) for _, gpu in boards if gpu.bus}
    lanes = {gpu.uuid: _lanes(pynvml, handle, addresses, attempt) for handle, gpu in boards} if len(boards) > 1 else {}
    peers: dict[str, dict[str, Peer]] = {gpu.uuid: {} for _, gpu in boards}
    for (one, a), (other, b) in combinations(boards, 2):
        level = attempt(partial(pynvml.nvmlDeviceGetTopologyCommonAncestor, one, other), UNKNOWN)
        kind = pynvml.NVML_P2P_CAPS_INDEX_NVLINK
        status = attempt(partial(pynvml.nvmlDeviceGetP2PStatus, one, other, kind), UNKNOWN)
        nvlink = _nvlink(lanes[a.uuid], lanes[b.uuid], _address(a.bus), _address(b.bus), status)
        peers[a.uuid][b.uuid] = peers[b.uuid][a.uuid] = Peer(nvlink=nvlink, path=PATHS.get(level, ""))
    return peers


def _nvlink(one: Lanes, other: Lanes, at: str, other_at: str, status: int) -> int:
    """Lanes between two GPUs: direct ones, or as many as both have to switches, which join all with all.

    `status`: of peer-to-peer over NVLink, 0 is good. It has the last word where the driver tells it: a switch may be
    there and not be set up.
    """
    lanes = one.direct.get(other_at, 0) or other.direct.get(at, 0) or min(one.switched, other.switched)
    if status == UNKNOWN:
        return lanes
    return max(lanes, 1) if status == 0 else 0


def _lanes(pynvml: Any, handle: Any, addresses: set[str], attempt: Attempt) -> Lanes:
    direct: dict[str, int] = {}
    switched = 0
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        state = attempt(partial(pynvml.nvmlDeviceGetNvLinkState, handle, link), None)
        if state is None:
            break  # the links are numbered without gaps
        if state != 1:
            continue
        far = attempt(partial(pynvml.nvmlDeviceGetNvLinkRemotePciInfo, handle, link), None)
        address = _address(far.busId) if far else ""
        if address in addresses:
            direct[address] = direct.get(address, 0) + 1
        elif attempt(partial(pynvml.nvmlDeviceGetNvLinkRemoteDeviceType, handle, link), None) in (
            None,
            pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH,
        ):
            switched += 1
    return Lanes(direct, switched)


def _address(bus: str | bytes) -> str:
    return (bus.decode(errors="replace") if isinstance(bus, bytes) else bus).lower()
