"""An engine in twenty lines: says the words of the last message from the last to the first."""

import asyncio
from collections.abc import AsyncIterator

from dynamo_cli.api import EngineRequest, last_message


class Backwards:
    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s

    async def generate(self, request: EngineRequest) -> AsyncIterator[str]:
        for word in reversed(last_message(request).split()):
            await asyncio.sleep(self.delay_s)
            yield word + " "
