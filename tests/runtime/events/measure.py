"""What events cost: `python -m tests.runtime.events.measure [--rate BLOCKS/S] [--seconds S] [--followers N]`.

A publisher's process tells Stored events of 32 blocks each, at a steady rate, and after the first half Removed events
of the oldest; each subscriber's process decodes them and keeps a dict of the blocks. Said are CPU-seconds per second of
each process, and that every copy was right.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from dynamo_cli.protocol.kv import KvEvent, Removed, Stored
from dynamo_cli.runtime.discovery.file import FileDiscovery
from dynamo_cli.runtime.events.base import EventSink
from dynamo_cli.runtime.events.tcp import TcpEventPlane
from dynamo_cli.runtime.loop import run

PLACE = ("dynamo", "backend")
BLOCKS = 32
HELD_EVENTS = 4096


class Index(EventSink):
    """The blocks of all publishers: hash -> publisher."""

    def __init__(self) -> None:
        self.blocks: dict[int, int] = {}
        self.stored = 0

    def on_reset(self, publisher: int) -> None:
        self.blocks = {}

    def on_gone(self, publisher: int) -> None:
        self.blocks = {}

    def on_event(self, publisher: int, payload: Any) -> None:
        if type(payload) is Stored:
            self.stored += len(payload.hashes)
            self.blocks.update(dict.fromkeys(payload.hashes, publisher))
        else:
            for one in payload.hashes:
                self.blocks.pop(one, None)


async def publish(root: Path, rate: float, seconds: float, followers: int) -> dict[str, float]:
    discovery = FileDiscovery(root)
    plane = TcpEventPlane(b"secret", discovery, 1)
    held: deque[list[int]] = deque()
    publisher = await plane.publisher(*PLACE, {"kv": lambda: [Stored(hashes) for hashes in held]})
    while plane._server is None or plane._server.followers < followers:
        await asyncio.sleep(0.01)
    stock = [[random.getrandbits(64) for _ in range(BLOCKS)] for _ in range(2 * HELD_EVENTS)]
    cpu, started, told = time.process_time(), time.monotonic(), 0
    while (passed := time.monotonic() - started) < seconds:
        while told * BLOCKS < passed * rate:
            hashes = stock[told % len(stock)]
            held.append(hashes)
            publisher.publish("kv", Stored(hashes))
            if len(held) > HELD_EVENTS:
                publisher.publish("kv", Removed(held.popleft()))
            told += 1
        await asyncio.sleep(0.005)
    cpu = time.process_time() - cpu
    await asyncio.sleep(1)
    await plane.close()
    await discovery.close()
    return {"cpu": cpu / passed, "blocks": len(held) * BLOCKS, "told": told * BLOCKS, "rate": told * BLOCKS / passed}


async def subscribe(root: Path) -> dict[str, float]:
    discovery = FileDiscovery(root)
    plane = TcpEventPlane(b"secret", discovery, 2)
    index = Index()
    subscription = await plane.subscribe(*PLACE, "kv", index, KvEvent)
    while index.stored == 0:
        await asyncio.sleep(0.01)
    cpu, started, blocks, stored, last = time.process_time(), time.monotonic(), 0, index.stored, time.monotonic()
    while subscription.publishers() and time.monotonic() - last < 0.5:
        await asyncio.sleep(0.01)
        if index.stored != stored:
            stored, last, blocks = index.stored, time.monotonic(), len(index.blocks)
    spent = (time.process_time() - cpu) / (last - started)
    resets = sum(standing.resets for standing in subscription.publishers().values())
    await plane.close()
    await discovery.close()
    return {"cpu": spent, "blocks": blocks, "resets": resets}


def child(*argv: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.runtime.events.measure", *argv]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100_000, help="blocks per second")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--followers", type=int, default=1)
    parser.add_argument("--role", choices=("all", "publisher", "subscriber"), default="all")
    parser.add_argument("--root", type=Path)
    given = parser.parse_args()
    if given.role == "publisher":
        print(json.dumps(run(publish(given.root, given.rate, given.seconds, given.followers))))
    elif given.role == "subscriber":
        print(json.dumps(run(subscribe(given.root))))
    else:
        with tempfile.TemporaryDirectory() as root:
            common = ("--root", root, "--rate", f"{given.rate}", "--seconds", f"{given.seconds}")
            subscribers = [child("--role", "subscriber", *common) for _ in range(given.followers)]
            publisher = child("--role", "publisher", "--followers", f"{given.followers}", *common)
            told = json.loads(publisher.communicate()[0])
            heard = [json.loads(each.communicate()[0]) for each in subscribers]
        print(f"publisher   {told['cpu']:.3f} CPU-s/s at {told['rate']:,.0f} blocks/s stored")
        for each in heard:
            right = "right" if each["blocks"] == told["blocks"] else "WRONG"
            print(f"subscriber  {each['cpu']:.3f} CPU-s/s; copy {right} ({each['blocks']:,}); {each['resets']} resets")


if __name__ == "__main__":
    main()
