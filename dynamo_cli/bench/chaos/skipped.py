from __future__ import annotations

from dynamo_cli.errors import DynamoError


class Skipped(DynamoError):
    """This machine cannot do that fault; the message says why."""
