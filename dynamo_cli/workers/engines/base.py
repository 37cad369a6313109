"""What is known of an engine without importing it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import msgspec

from dynamo_cli.protocol.instance import Role

if TYPE_CHECKING:
    from dynamo_cli.estimate.result import MemoryEstimate
    from dynamo_cli.estimate.shape import ModelShape
    from dynamo_cli.workers.engine import Engine

ModelFormat = Literal["gguf", "hf"]
Disaggregation = Literal["", "prefill_first", "bootstrap"]


class EngineOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The adapter's own settings, `[workers.X.options]` of a topology; each engine derives its own."""

    def checked(self) -> EngineOptions:
        """The options themselves; raises UsageError for ones that are right each but not together."""
        return self


class EngineLaunch(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an engine is created from. `model_path` is a file or directory on this disk, "" for none.

    `args` are the engine's native arguments, untouched. `ports`: the ports of `EngineSpec.ports`, by name.
    `text_path` is the prepared text bundle ("" when the engine takes text). `context_length`: the tokens the model
    was trained for, 0 when unknown. `role` is that of the worker; a `headless` engine is a secondary node of another
    one and generates nothing by itself. `logits_processors` are import paths, `module:name`.
    `host`: the address that workers listen on for each other.
    """

    model_name: str
    model_path: str = ""
    text_path: str = ""
    context_length: int = 0
    args: tuple[str, ...] = ()
    options: Any = None
    ports: dict[str, int] = {}
    tensor_parallel: int = 1
    runtime_dir: str = ""
    host: str = "127.0.0.1"
    role: Role = "aggregated"
    headless: bool = False
    logits_processors: tuple[str, ...] = ()


class MemoryQuestion(NamedTuple):
    """A worker as a topology describes it. `device`: bytes of each of its GPUs, 0 when it has none."""

    shape: ModelShape
    args: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}
    tensor_parallel: int = 1
    device: int = 0


class EngineSpec(ABC):
    name: ClassVar[str]
    summary: ClassVar[str]
    options_type: ClassVar[type[EngineOptions]] = EngineOptions
    modules: ClassVar[tuple[str, ...]] = ()
    """What it imports beyond this package's own dependencies."""
    needs_model: ClassVar[bool] = True
    formats: ClassVar[tuple[ModelFormat, ...]] = ()
    """Of model files, those it reads; () is any."""
    gpus: int = 0
    """GPUs one replica wants when the topology says gpus = "auto"."""
    splits: ClassVar[bool] = False
    """One replica can be spread over several GPUs: --tensor-parallel-size."""
    start_timeout_s: ClassVar[float] = 0.0
    """How long a start may take, model and all, where nobody says; 0 is as long as any process may."""
    ports: ClassVar[tuple[str, ...]] = ()
    """Names of the ports a replica needs beyond the planes; exported as DYN_PORT_<NAME>."""
    takes_text: ClassVar[bool] = False
    """It can render and tokenize by itself when `text_path` is ""."""
    headless: ClassVar[bool] = False
    """It can be the secondary node of another one."""
    logits_processors: ClassVar[bool] = False
    disaggregation: ClassVar[Disaggregation] = ""
    """How its workers prefill for each other: never, one after the other, or both at once after telling both where."""
    has_children: ClassVar[bool] = False
    """It starts processes that would not notice the worker's death by themselves."""

    @abstractmethod
    def available(self) -> str | None:
        """None when the engine can be started here, else one line: why not, and the command that helps."""

    def reads_model(self, options: Mapping[str, Any]) -> bool:
        """Whether it uses the files of a model that it is told of, needed or not."""
        return self.needs_model

    def ports_of(self, role: Role) -> tuple[str, ...]:
        """`ports` of a worker of this role."""
        return self.ports

    def memory(self, asked: MemoryQuestion) -> MemoryEstimate | None:
        """What a worker will hold, None of an engine that holds no model.

        Raises ShapeUnknown for settings whose memory is not estimated, UsageError for ones the engine would refuse.
        """
        return None

    @abstractmethod
    def create(self, launch: EngineLaunch) -> Engine:
        """Import the adapter and make the engine, not yet started."""
