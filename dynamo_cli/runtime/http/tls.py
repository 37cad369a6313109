"""TLS for a listening socket: the context, and one line about what is wrong with its files."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.errors import UsageError

ALPN = ["http/1.1"]
_OUT_OF_DATE = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


OPTIONS = {"cert": "tls-cert-path", "key": "tls-key-path", "client_ca": "tls-client-ca-cert-path"}


class TlsFiles(NamedTuple):
    """Paths of PEM files. With `client_ca` every client must show a certificate that one of these has signed."""

    cert: str
    key: str
    client_ca: str = ""


class TlsProblem(UsageError):
    """`option` is a field of TlsFiles, `what` is wrong with it."""

    def __init__(self, option: str, what: str) -> None:
        super().__init__(f"--{OPTIONS[option]} {what}")
        self.option = option
        self.what = what


def tls_files(cert: str, key: str, client_ca: str) -> TlsFiles | None:
    """None: plain HTTP. TlsProblem for half of a pair."""
    if cert and key:
        return TlsFiles(cert, key, client_ca)
    if cert or key:
        raise (
            TlsProblem("cert", "is given without its key")
            if cert
            else TlsProblem("key", "is given without its certificate")
        )
    if client_ca:
        raise TlsProblem("client_ca", "is given without the server's own certificate and key")
    return None


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer. Raises TlsProblem."""
    context = _with_certificate(files)
    _check_dates(context, files.cert)
    if files.client_ca:
        _load_authorities(context, files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _with_certificate(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN)
    _check_readable("cert", files.cert)
    _check_readable("key", files.key)

    def ask_nobody() -> str:
        raise TlsProblem("key", f"{files.key}: the key is encrypted; a server needs one without a passphrase")

    try:
        context.load_cert_chain(files.cert, files.key, password=ask_nobody)
    except ssl.SSLError as error:
        raise _why_not(files, error) from None
    return context


def _why_not(files: TlsFiles, error: ssl.SSLError) -> TlsProblem:
    if error.reason == "KEY_VALUES_MISMATCH":
        return TlsProblem("key", f"{files.key}: is not the key of {files.cert}")
    if not _holds(files.cert, "CERTIFICATE"):
        return TlsProblem("cert", f"{files.cert}: holds no PEM certificate")
    if not _holds(files.key, "PRIVATE KEY"):
        return TlsProblem("key", f"{files.key}: holds no PEM private key")
    return TlsProblem("cert", f"{files.cert} with the key {files.key}: {_words(error)}")


def _holds(path: str, what: str) -> bool:
    text = Path(path).read_bytes()
    return b"-----BEGIN" in text and f"{what}-----".encode() in text


def _words(error: ssl.SSLError) -> str:
    return error.reason.lower().replace("_", " ") if error.reason else "the PEM is broken"


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    _check_readable("client_ca", path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        why = _words(error) if _holds(path, "CERTIFICATE") else "holds no PEM certificate"
        raise TlsProblem("client_ca", f"{path}: {why}") from None


def _check_readable(option: str, path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise TlsProblem(option, f"{path}: {error.strerror}") from None


def _check_dates(server: ssl.SSLContext, cert: str) -> None:
    """By a handshake in memory with a client that trusts this certificate, and so only looks at its dates."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cert)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)]
    problem = next(filter(None, map(_step, (*ends, *ends))), None)
    if isinstance(problem, ssl.SSLCertVerificationError) and problem.verify_code in _OUT_OF_DATE:
        raise TlsProblem("cert", f"{cert}: {problem.verify_message}")


def _step(end: ssl.SSLObject) -> ssl.SSLError | None:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return None
    except ssl.SSLError as error:
        return error
    return None
