"""What the operating system knows of GPUs and of the processes that hold them."""

from __future__ import annotations

from pathlib import Path


def numa_node(bus: str, devices: Path = Path("/sys/bus/pci/devices")) -> int | None:
    """The NUMA node of a PCI address as NVML writes it, None where nobody knows."""
    domain, _, rest = bus.lower().partition(":")
    try:
        node = int((devices / f"{domain[-4:]}:{rest}/numa_node").read_text())
    except (OSError, ValueError):
        return None
    return node if node >= 0 else None


def process_name(pid: int) -> str:
    """ "" when it cannot be seen from here: it has ended, or is of another container."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""
