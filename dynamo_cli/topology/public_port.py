"""The public port: its options on a frontend's command line, and whether its files can be used."""

from __future__ import annotations

from collections.abc import Iterator

from dynamo_cli.topology.parts import Frontend
from dynamo_cli.topology.report import Report

_KEYS = {"cert": "tls_cert_path", "key": "tls_key_path", "client_ca": "tls_client_ca_cert_path"}


def port_options(frontend: Frontend) -> Iterator[str]:
    """The words of a command line."""
    files = {
        "--tls-cert-path": frontend.tls_cert_path,
        "--tls-key-path": frontend.tls_key_path,
        "--tls-client-ca-cert-path": frontend.tls_client_ca_cert_path,
        "--api-keys-file": frontend.api_keys_file,
        "--request-trace": frontend.request_trace,
    }
    for flag, path in files.items():
        yield from (flag, path) if path else ()
    for origin in frontend.cors_allow_origins:
        yield from ("--cors-allow-origin", origin)


def check_frontend(frontend: Frontend, report: Report) -> None:
    """Add the problem of its certificates and that of its keys: else they would only show when the frontends end."""
    if any(getattr(frontend, key) for key in _KEYS.values()):
        _check_tls(frontend, report)
    if frontend.api_keys_file:
        _check_keys(frontend.api_keys_file, report)


def _check_tls(frontend: Frontend, report: Report) -> None:
    from dynamo_cli.runtime.http.tls import TlsProblem, server_context, tls_files

    if any(report.touches(("frontend", key)) for key in _KEYS.values()):
        return
    try:
        files = tls_files(*(getattr(frontend, key) for key in _KEYS.values()))
        if files is not None:
            server_context(files)
    except TlsProblem as problem:
        report.add(("frontend", _KEYS[problem.option]), problem.what)


def _check_keys(file: str, report: Report) -> None:
    from dynamo_cli.runtime.http.keys import KeysFileProblem, load_keys

    try:
        load_keys(None, file)
    except KeysFileProblem as problem:
        report.add(("frontend", "api_keys_file"), problem.what)
