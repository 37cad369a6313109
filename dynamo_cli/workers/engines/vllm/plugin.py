"""Runs in each of vLLM's processes (entry point of group `vllm.general_plugins`), and only below a worker of ours.

They die with their parent, say why they break, tell of the prefix cache without opening any port, and leave no files.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
from contextlib import suppress
from multiprocessing import connection
from types import SimpleNamespace
from typing import Any

from dynamo_cli.workers.engines.vllm.handing import DELAY_VARIABLE, learn_to_let_go, slow_nixl_down
from dynamo_cli.workers.engines.vllm.queues import VARIABLE, calm_queues
from dynamo_cli.workers.engines.vllm.wire import SOCKET_VARIABLE, Failure, framed
from dynamo_cli.workers.shared_memory import remove, segments_of

_done = False


def register() -> None:
    """Idempotent, as vLLM asks of plugins; does nothing in the worker itself."""
    global _done
    path, parent = os.environ.get(SOCKET_VARIABLE), multiprocessing.parent_process()
    if not path or parent is None or _done:
        return
    _done = True
    threading.Thread(target=_die_with, args=(parent.sentinel,), name="dynamo-parent", daemon=True).start()
    logging.getLogger("vllm").addHandler(_FailureTeller(path))
    _replace_publisher(path)
    _keep_rendezvous_in(os.path.dirname(path))
    learn_to_let_go()
    if os.environ.get(VARIABLE):
        calm_queues()
    if delay := os.environ.get(DELAY_VARIABLE):
        slow_nixl_down(int(delay))


def _die_with(parent: int) -> None:
    """vLLM's own processes watch each other; nobody but this thread watches for the death of the worker."""
    connection.wait([parent])
    remove(segments_of("self"))
    os.kill(os.getpid(), signal.SIGKILL)


class _FailureTeller(logging.Handler):
    """vLLM logs the exception that ends a process; the worker gets a line of it."""

    def __init__(self, path: str) -> None:
        super().__init__(logging.ERROR)
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        if not record.exc_info or record.exc_info[1] is None:
            return
        error = record.exc_info[1]
        name = multiprocessing.current_process().name
        with suppress(OSError), socket.socket(socket.AF_UNIX) as link:
            link.connect(self._path)
            link.sendall(framed(Failure(name, type(error).__name__, str(error))))


def _replace_publisher(path: str) -> None:
    """The factory makes ours for our endpoint, and its own for any other."""
    from vllm.distributed.kv_events import EventPublisherFactory

    from dynamo_cli.workers.engines.vllm.publisher import publisher_class

    registry: dict[str, Any] = EventPublisherFactory._registry
    original, ours = registry["zmq"], publisher_class()

    def make(data_parallel_rank: int, endpoint: str, **settings: Any) -> Any:
        if endpoint == endpoint_of(path):
            return ours(path, data_parallel_rank)
        return original(data_parallel_rank=data_parallel_rank, endpoint=endpoint, **settings)

    registry["zmq"] = make


def _keep_rendezvous_in(directory: str) -> None:
    """The file by which its workers find each other would stay in /tmp, for everybody to read."""
    from vllm.utils import network_utils

    network_utils.tempfile = SimpleNamespace(gettempdir=lambda: directory)


def endpoint_of(path: str) -> str:
    """What vLLM is told the events' endpoint is: without the plugin it stays in the same private directory."""
    return f"ipc://{path}.zmq"
