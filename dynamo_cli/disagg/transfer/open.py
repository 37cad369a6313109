"""The transfers by name."""

from __future__ import annotations

from dynamo_cli.disagg.transfer.base import Transfer, TransferKind
from dynamo_cli.disagg.transfer.tcp import TcpTransfer


def open_transfer(kind: TransferKind, host: str = "127.0.0.1") -> Transfer:
    """Not yet started."""
    if kind == "tcp":
        return TcpTransfer(host)
    from dynamo_cli.disagg.transfer.nixl import NixlTransfer

    return NixlTransfer(host)
