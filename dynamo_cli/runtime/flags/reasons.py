"""Why options of several tables do nothing here."""

from __future__ import annotations

from dynamo_cli.runtime.flags.flag import Reason

NO_PARSING = Reason(
    "answers are not parsed for tool calls and reasoning", "leave it out: clients get the text as the model writes it"
)
