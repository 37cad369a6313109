"""The project's performance budgets, measured: one frontend in front of a mock worker, all as real processes.

    python -m dynamo_cli.bench.budgets [--runs N] [--quick] [--json] [--reference] [ROW...]

CPU is the frontend's own: template, tokenizer, routing, detokenizer, metrics and HTTP included.
"""
