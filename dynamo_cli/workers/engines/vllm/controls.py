"""What can be done to a running vLLM besides generating."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from dynamo_cli.errors import EngineFailed, InvalidRequest
from dynamo_cli.workers.engine import Control


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Sleep(msgspec.Struct, forbid_unknown_fields=True):
    level: Annotated[int, Meta(ge=0, le=2)] = 1


class _WakeUp(msgspec.Struct, forbid_unknown_fields=True):
    tags: list[str] | None = None


class _Pause(msgspec.Struct, forbid_unknown_fields=True):
    mode: Literal["abort", "wait", "keep"] = "abort"
    clear_cache: bool = True


_ARGUMENTS: dict[Control, type[msgspec.Struct]] = {"sleep": _Sleep, "wake_up": _WakeUp, "pause": _Pause}


def controls_of(config: Any) -> tuple[Control, ...]:
    """Of a started engine's VllmConfig: what it was not started for is not among them."""
    found: list[Control] = ["clear_kv_blocks", "pause", "resume"]
    # On a CPU there is no such mode: it sleeps as it is, and frees nothing.
    on_cpu = getattr(getattr(config, "device_config", None), "device_type", "") == "cpu"
    if on_cpu or getattr(config.model_config, "enable_sleep_mode", False):
        found += ["sleep", "wake_up"]
    if getattr(getattr(config, "profiler_config", None), "profiler", None):
        found += ["start_profile", "stop_profile"]
    return tuple(found)


class Controls:
    """`cleared` is called when the prefix cache is empty by our own doing: vLLM tells of it only with its next step."""

    def __init__(self, engine: Any, config: Any, cleared: Callable[[], None]) -> None:
        self.names = controls_of(config)
        self._engine = engine
        self._cleared = cleared

    async def run(self, name: Control, arguments: dict[str, Any]) -> dict[str, Any]:
        """Raises InvalidRequest, and NotImplementedError for what this engine was not started for."""
        if name not in self.names:
            help_ = {"sleep": "--enable-sleep-mode", "wake_up": "--enable-sleep-mode"}.get(name, "--profiler-config")
            raise NotImplementedError(f"vLLM was not started for {name}; give it {help_}")
        try:
            given: Any = msgspec.convert(arguments, _ARGUMENTS.get(name, _Nothing))
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{name}: {error}") from None
        answer = await getattr(self, f"_{name}")(given)
        return answer or {"status": "ok"}

    async def _clear_kv_blocks(self, given: _Nothing) -> None:
        reset = self._engine.reset_prefix_cache
        if not await reset():
            # Blocks of running sequences stand in the way: they are computed again.
            if "reset_running_requests" not in inspect.signature(reset).parameters:
                raise EngineFailed("vLLM clears its cache only while no sequence runs")
            await reset(reset_running_requests=True)
        self._cleared()

    async def _sleep(self, given: _Sleep) -> None:
        await self._engine.sleep(given.level)
        if given.level:
            self._cleared()

    async def _wake_up(self, given: _WakeUp) -> dict[str, Any] | None:
        """By tags it wakes in parts, and computes nothing before the last; of one it does not know it only logs."""
        await self._engine.wake_up(given.tags)
        return {"status": "ok", "awake": False} if await self._engine.is_sleeping() else None

    async def _pause(self, given: _Pause) -> None:
        await self._engine.pause_generation(mode=given.mode, clear_cache=given.clear_cache)
        if given.clear_cache:
            self._cleared()

    async def _resume(self, given: _Nothing) -> None:
        await self._engine.resume_generation()

    async def _start_profile(self, given: _Nothing) -> None:
        await self._engine.start_profile()

    async def _stop_profile(self, given: _Nothing) -> None:
        await self._engine.stop_profile()
