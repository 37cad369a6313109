from __future__ import annotations

from tests.gpus.conftest import driver

__all__ = ["driver"]
