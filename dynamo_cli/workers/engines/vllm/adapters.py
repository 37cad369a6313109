"""The LoRA adapters the engine serves, and what vLLM calls them."""

from __future__ import annotations

from typing import Any

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.workers.engine import Adapter


class Adapters:
    """`places`: how many may be served at once, 0 when vLLM was started without --enable-lora."""

    def __init__(self, base: str, places: int) -> None:
        self.places = places
        self._base = base
        self._requests: dict[str, Any] = {}
        self._last_id = 0

    def request_of(self, model: str) -> Any:
        """vLLM's LoRARequest of an adapter, None for the model itself. Raises InvalidRequest for what is neither."""
        found = self._requests.get(model)
        if found is None and self.places and model != self._base:
            raise InvalidRequest(f"{model} is neither {self._base} nor an adapter of it here", "model")
        return found

    async def add(self, engine: Any, adapter: Adapter) -> None:
        from vllm.lora.request import LoRARequest

        if not self.places:
            raise InvalidRequest("vLLM serves no adapters; start it with --enable-lora")
        if adapter.name == self._base or adapter.name in self._requests:
            raise InvalidRequest(f"{adapter.name} is served already")
        if len(self._requests) >= self.places:
            raise InvalidRequest(f"all {self.places} places for adapters are taken; give a larger --max-loras")
        self._last_id += 1
        request = LoRARequest(adapter.name, self._last_id, adapter.path)
        try:
            loaded = await engine.add_lora(request)
        except Exception as error:
            raise InvalidRequest(f"vLLM cannot load the adapter {adapter.name}: {_why(error)}") from None
        if not loaded:
            raise InvalidRequest(f"vLLM did not load the adapter {adapter.name}; its log says why")
        self._requests[adapter.name] = request

    async def remove(self, engine: Any, name: str) -> None:
        request = self._requests.pop(name, None)
        if request is None:
            raise InvalidRequest(f"{name} is no adapter here")
        await engine.remove_lora(request.lora_int_id)


def _why(error: Exception) -> str:
    from dynamo_cli.workers.engines.vllm.failure import first_sentence

    # What failed in another process comes with that process's traceback.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return first_sentence(lines[-1]) if lines else type(error).__name__
