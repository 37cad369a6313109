"""Every error a user can meet, in one tree. `[exit code, HTTP status]`.

    DynamoError                    [1, 500]
    ├── UsageError                 [2, 400]  a wrong command line
    │   └── TopologyError          [2, 400]  every problem of a topology file at once
    ├── InvalidRequest             [2, 400]  a request field is wrong (`param` names it)
    │   └── ContextTooLong         [2, 400]  prompt and max_tokens exceed the model's context length
    ├── NotReady                   [3, 503]  a deployment or component is not (yet) serving
    │   ├── NoInstances            [3, 503]  nobody serves this endpoint
    │   ├── Draining               [3, 503]
    │   └── TransferFailed         [3, 503]  the KV that another worker has computed cannot be fetched
    ├── Overloaded                 [3, 529]
    ├── ResourceMissing            [4, 503]  a GPU, port, memory or disk space is missing
    │   ├── PortBusy               [4, 503]
    │   └── DiskFull               [4, 503]
    ├── EngineMissing              [5, 501]  an engine's package is not installed
    ├── ModelMissing               [5, 404]  a model is not on this disk or not served
    ├── RouteMissing               [1, 404]  an HTTP path that is not served
    ├── MethodNotAllowed           [1, 405]
    ├── Unauthorized               [1, 401]  no proof of the deployment's token
    │   └── InvalidApiKey          [1, 401]
    ├── EngineFailed               [1, 500]  the engine reported an error for this request
    ├── DeadlineExceeded           [1, 504]  the client said that it waits no longer
    ├── Cancelled                  [130, 499]
    └── PlaneError                 [1, 503]  the request plane lost the worker: another one may be tried
        ├── CannotConnect
        ├── Disconnected
        ├── StreamIncomplete                 a stream ended without its end frame
        ├── EngineDied                       the engine behind a worker has gone
        └── ResponseTimeout        [1, 504]

Messages are one line, name the place and say what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class DynamoError(Exception):
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry_after_s: ClassVar[int | None] = None
    """When asking again may help, as HTTP's Retry-After tells it."""


class UsageError(DynamoError):
    exit_code, status, code = 2, 400, "usage"


class TopologyError(UsageError):
    """`problems`: one line each, `FILE:LINE: key: what is wrong; did you mean X`."""

    code = "topology"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InvalidRequest(DynamoError):
    exit_code, status, code = 2, 400, "invalid_request_error"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ContextTooLong(InvalidRequest):
    code = "context_length_exceeded"


class NotReady(DynamoError):
    exit_code, status, code = 3, 503, "not_ready"


class NoInstances(NotReady):
    code = "no_instances"


class Draining(NotReady):
    code = "draining"
    retry_after_s = 1


class TransferFailed(NotReady):
    """Raised before the first token: the request can be prefilled elsewhere, or computed by the worker itself."""

    code = "transfer_failed"


class Overloaded(DynamoError):
    """It is there, but has too much to do. What is known of the workers' load is a second old at most."""

    exit_code, status, code = 3, 529, "overloaded"
    retry_after_s = 1


class ResourceMissing(DynamoError):
    exit_code, status, code = 4, 503, "resource_missing"


class PortBusy(ResourceMissing):
    code = "port_busy"


class DiskFull(ResourceMissing):
    code = "disk_full"


class EngineMissing(DynamoError):
    exit_code, status, code = 5, 501, "engine_missing"


class ModelMissing(DynamoError):
    exit_code, status, code = 5, 404, "model_not_found"


class RouteMissing(DynamoError):
    status, code = 404, "unknown_url"


class MethodNotAllowed(DynamoError):
    status, code = 405, "method_not_allowed"


class Unauthorized(DynamoError):
    status, code = 401, "unauthorized"


class InvalidApiKey(Unauthorized):
    code = "invalid_api_key"


class EngineFailed(DynamoError):
    code = "engine_failed"


class DeadlineExceeded(DynamoError):
    status, code = 504, "deadline_exceeded"


class Cancelled(DynamoError):
    exit_code, status, code = 130, 499, "cancelled"


class PlaneError(DynamoError):
    status, code = 503, "plane_error"


class CannotConnect(PlaneError):
    code = "cannot_connect"


class Disconnected(PlaneError):
    code = "disconnected"


class StreamIncomplete(PlaneError):
    code = "stream_incomplete"


class EngineDied(PlaneError):
    code = "engine_died"


class ResponseTimeout(PlaneError):
    status, code = 504, "response_timeout"


def _tree(root: type[DynamoError]) -> dict[str, type[DynamoError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def from_code(code: str, message: str) -> DynamoError:
    """The error a peer process sent as (code, message); an unknown code becomes EngineFailed."""
    kind = _tree(DynamoError).get(code, EngineFailed)
    if kind is TopologyError:
        return TopologyError(message.splitlines())
    return kind(message)
