"""The event plane is tested on both event loops it runs on."""

from tests.runtime.requests.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
