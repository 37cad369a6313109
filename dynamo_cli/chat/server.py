"""The server a chat speaks to: one connection kept open, and what that server turned out not to know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dynamo_cli.bench.answers import error_message
from dynamo_cli.bench.target import Address, http_client, served_models, unreachable
from dynamo_cli.errors import DynamoError, InvalidRequest, ModelMissing, NotReady, StreamIncomplete, Unauthorized

if TYPE_CHECKING:
    import httpx

READ_TIMEOUT_S = 600.0
ERRORS: dict[int, type[DynamoError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Unauthorized,
    404: ModelMissing,
    422: InvalidRequest,
    503: NotReady,
}
DISPENSABLE = ("nvext", "stream_options")


class Server:
    """`unknown` are the fields it has refused."""

    def __init__(self, address: Address, api_key: str | None = None) -> None:
        self.address = address
        self.unknown: set[str] = set()
        self.headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._client: httpx.Client | None = None

    def models(self) -> list[str]:
        """Raises as served_models."""
        return [model.name for model in served_models(self.address, self.headers)]

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    @contextmanager
    def chat(self, body: dict[str, Any]) -> Iterator[httpx.Response]:
        """The response to a streamed chat request, its body not yet read.

        A strict server that refuses a field we can do without is asked again without, now and in future. Raises
        DynamoError for any other refusal, NotReady when nothing listens, StreamIncomplete when the connection breaks.
        """
        import httpx

        try:
            while True:
                sent = {name: value for name, value in body.items() if name not in self.unknown}
                with self._http().stream("POST", "/v1/chat/completions", json=sent) as response:
                    if self._takes(response, sent):
                        yield response
                        return
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise unreachable(self.address, error) from None
        except httpx.HTTPError as error:
            raise StreamIncomplete(f"the answer broke off: {str(error) or type(error).__name__}") from None

    def _http(self) -> httpx.Client:
        if self._client is None:
            self._client = http_client(self.address, READ_TIMEOUT_S, self.headers)
        return self._client

    def _takes(self, response: httpx.Response, sent: dict[str, Any]) -> bool:
        """False: it named a field that we can do without."""
        if response.status_code == 200:
            return True
        body = response.read()
        refused = {name for name in DISPENSABLE if name in sent and name.encode() in body}
        if response.status_code not in (400, 422) or not refused:
            raise self._error(response.status_code, error_message(body) or "no reason given")
        self.unknown |= refused
        return False

    def _error(self, status: int, message: str) -> DynamoError:
        kind = ERRORS.get(status, DynamoError)
        hint = "; pass --api-key or set OPENAI_API_KEY" if kind is Unauthorized else ""
        return kind(f"the server answered {status}: {message}{hint}")
