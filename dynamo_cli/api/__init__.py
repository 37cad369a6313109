"""What Python code of users imports: processes that serve endpoints, their clients, and engines.

from dynamo_cli.api import DistributedRuntime, dynamo_endpoint, dynamo_worker, run
"""

from dynamo_cli.api.client import Annotated, Client
from dynamo_cli.api.endpoint import Endpoint
from dynamo_cli.api.model import ModelInput, ModelType, register_model
from dynamo_cli.api.runtime import Component, DistributedRuntime, Namespace
from dynamo_cli.api.validation import dynamo_endpoint
from dynamo_cli.api.worker import dynamo_worker, run
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Engine, EngineInfo
from dynamo_cli.workers.engines.text_input import last_message

__all__ = [
    "Annotated",
    "Client",
    "Component",
    "Context",
    "Delta",
    "DistributedRuntime",
    "Endpoint",
    "Engine",
    "EngineInfo",
    "EngineRequest",
    "EngineUsage",
    "ModelInput",
    "ModelType",
    "Namespace",
    "dynamo_endpoint",
    "dynamo_worker",
    "last_message",
    "register_model",
    "run",
]
