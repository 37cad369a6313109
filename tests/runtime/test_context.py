"""What is done when a request is stopped."""

from __future__ import annotations

import pytest

from dynamo_cli.runtime.context import Context


def test_all_is_done_though_some_of_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    context, done = Context("r1"), []

    def fail() -> None:
        raise ValueError("no such word")

    context.on_stop(fail)
    context.on_stop(lambda: done.append("next"))
    context.stop()
    context.stop()
    assert done == ["next"]
    assert "request r1" in caplog.text and "no such word" in caplog.text
