"""Writes what the driver tells as JSON: for callers that a driver which hangs or crashes must not take along."""

from __future__ import annotations

import sys

import msgspec

from dynamo_cli.gpus.health import read_driver

if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(read_driver()))
