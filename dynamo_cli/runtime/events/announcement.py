"""How a publisher is found: one discovery key for each of its topics."""

from __future__ import annotations

import re

import msgspec

from dynamo_cli.runtime.discovery.owner import Owner

EVENTS_PREFIX = "v1/events/"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Announcement(msgspec.Struct, frozen=True):
    """Where a topic is published (tcp://HOST:PORT), and the process that does it."""

    address: str
    owner: Owner


def topic_path(namespace: str, component: str, topic: str) -> str:
    """`namespace/component/topic`; ValueError for a name that cannot be part of it."""
    for name in (namespace, component, topic):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be part of a topic's name: use lower-case letters, digits, - and _")
    return f"{namespace}/{component}/{topic}"


def announcement_key(path: str, instance_id: int) -> str:
    return f"{EVENTS_PREFIX}{path}/{instance_id:x}"


def publisher_of(key: str) -> int:
    """The instance id in an announcement's key; ValueError when there is none."""
    return int(key.rpartition("/")[2], 16)
