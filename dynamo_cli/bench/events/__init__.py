"""What KV events cost a frontend and its requests: real processes, events over TCP.

    python -m dynamo_cli.bench.events [--runs N] [--quick] [--json] [--publishers N] [--rate BLOCKS/S] [ROW...]

One frontend in mode kv follows a mock worker, which answers requests, and publishers, which only tell of their caches.
With and without events take turns, so that both meet the same machine.
"""
