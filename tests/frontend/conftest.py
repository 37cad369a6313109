from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.frontend.toy import Deployment


@pytest.fixture
async def bare(clean_environment: Path) -> AsyncIterator[Deployment]:
    """Not started, no workers."""
    async with Deployment(clean_environment) as deployment:
        yield deployment


@pytest.fixture
async def deployment(bare: Deployment) -> Deployment:
    """A frontend and one worker that echoes the prompt's tokens."""
    await bare.start()
    await bare.add_worker()
    await bare.ready()
    return bare


@pytest.fixture
async def http(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=deployment.url, trust_env=False) as client:
        yield client
