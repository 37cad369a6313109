"""The request plane over TCP: one multiplexed connection per client and worker, beside it one for the heartbeat."""

from dynamo_cli.runtime.requests.tcp_client import TcpRequestClient
from dynamo_cli.runtime.requests.tcp_server import TcpRequestServer

__all__ = ["TcpRequestClient", "TcpRequestServer"]
