"""Which server and which model: from the command line, else the running deployment, else port 8000."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from dynamo_cli.bench.answers import error_message
from dynamo_cli.errors import DynamoError, ModelMissing, NotReady, Unauthorized, UsageError

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "http://127.0.0.1:8000"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
OWNER = "dynamo"
ASK_AGAIN_S = 0.2

Headers = Mapping[str, str]


class Model(NamedTuple):
    """`of_ours`: served by a frontend of this project, which knows its extensions of the API."""

    name: str
    of_ours: bool = False


class Address(NamedTuple):
    """`prefix` is the path before /v1, empty for most servers."""

    host: str
    port: int
    tls: bool = False
    prefix: str = ""

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.prefix}"


def parse_url(url: str) -> Address:
    """Raises UsageError. A trailing /v1 is accepted."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
        (parts.hostname or "").encode("idna")  # as every connection does, which would fail less clearly
    except ValueError as error:
        raise UsageError(f"--url {url}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--url {url}: expected http://HOST:PORT")
    tls = parts.scheme == "https"
    prefix = parts.path.rstrip("/").removesuffix("/v1")
    return Address(parts.hostname, port or (443 if tls else 80), tls, prefix)


def default_url() -> str:
    """The only running deployment's; port 8000 when there is none. Raises UsageError when there are several."""
    from dynamo_cli.supervisor.deployments import running

    found = {deployment.name: deployment.record.url for deployment in running() if deployment.record.url}
    if len(found) > 1:
        names = ", ".join(f"{name} ({url})" for name, url in found.items())
        raise UsageError(f"several deployments are running: {names}; choose one with --url")
    return next(iter(found.values()), DEFAULT_URL)


def http_client(address: Address, timeout_s: float = 30.0, headers: Headers | None = None) -> httpx.Client:
    """A client that uses the environment's proxies only for hosts other than this one.

    Raises UsageError for a proxy that cannot be used.
    """
    import httpx

    verify = tls_context() if address.tls else False  # reading the certificates takes longer than an answer
    try:
        return httpx.Client(
            base_url=address.url,
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            headers=headers,
            trust_env=address.host not in LOOPBACK,
            verify=verify,
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise UsageError(f"the proxy that ALL_PROXY, HTTP_PROXY or HTTPS_PROXY names: {error}") from error


def tls_context() -> ssl.SSLContext:
    """Trusts the authorities of SSL_CERT_FILE or SSL_CERT_DIR, else those this machine and certifi know. UsageError."""
    import certifi

    named = {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)}
    for name, path in named.items():
        if not os.path.exists(path):
            raise UsageError(f"{name}={path}: no such file or directory")
    context = ssl.create_default_context()
    if not named:
        context.load_verify_locations(certifi.where())
    return context


def unreachable(address: Address, error: BaseException) -> DynamoError:
    """Why no connection came about: UsageError if waiting cannot help, else NotReady."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        hint = "SSL_CERT_FILE names the authorities to trust"
        return UsageError(f"{address.url} shows a certificate that is not trusted: {cause.verify_message}; {hint}")
    if cause is not None and cause.reason == "WRONG_VERSION_NUMBER":
        return UsageError(f"{address.url} speaks no TLS; use http://")
    return NotReady(
        f"nothing listens on {address.url}; start a deployment with `dynamo up topologies/agg.toml`, or pass --url"
    )


def find_model(address: Address, wanted: str | None, headers: Headers | None = None) -> Model:
    """`wanted` if it is served, else the only one served. Raises NotReady, ModelMissing, UsageError."""
    served = {model.name: model for model in served_models(address, headers)}
    if wanted is not None:
        if wanted not in served:
            raise ModelMissing(
                f"{address.url} does not serve {wanted}; it serves {', '.join(served) or 'no model yet'}"
            )
        return served[wanted]
    if not served:
        raise NotReady(f"{address.url} serves no model yet; `dynamo status` says what it is waiting for")
    if len(served) > 1:
        raise UsageError(f"{address.url} serves several models: {', '.join(served)}; choose one with --model")
    return next(iter(served.values()))


def await_model(address: Address, wanted: str | None, timeout_s: float, headers: Headers | None = None) -> Model:
    """`find_model`, again and again until the model is served. Raises NotReady, UsageError, Unauthorized."""
    deadline = time.monotonic() + timeout_s
    while isinstance(found := _found_or_why_not(address, wanted, headers), DynamoError):
        if time.monotonic() >= deadline:
            raise NotReady(f"{found}; waited {timeout_s:g} s")
        time.sleep(max(0.0, min(ASK_AGAIN_S, deadline - time.monotonic())))
    return found


def _found_or_why_not(address: Address, wanted: str | None, headers: Headers | None) -> Model | DynamoError:
    """Raises UsageError and Unauthorized: waiting does not help."""
    try:
        return find_model(address, wanted, headers)
    except (UsageError, Unauthorized):
        raise
    except DynamoError as error:
        return error


def served_models(address: Address, headers: Headers | None = None) -> list[Model]:
    """Raises NotReady when nothing listens, DynamoError when what listens is no OpenAI-compatible server."""
    import httpx

    try:
        with http_client(address, headers=headers) as client:
            answer = client.get("/v1/models")
            answer.raise_for_status()
            return [Model(str(model["id"]), model.get("owned_by") == OWNER) for model in answer.json()["data"]]
    except httpx.ConnectError as error:
        raise unreachable(address, error) from None
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise Unauthorized(f"{address.url}/v1/models answers {status}; pass --api-key") from None
        words = f": {error_message(error.response.content)}" if status == 400 else ""
        raise DynamoError(f"{address.url}/v1/models answers {status}{words}") from None
    except httpx.HTTPError as error:
        raise DynamoError(f"{address.url}/v1/models: {str(error) or type(error).__name__}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DynamoError(f"{address.url}/v1/models is not the answer of an OpenAI-compatible server") from None
