"""Options of the public port: TLS, API keys, web pages of other origins. Flag > environment > none."""

from __future__ import annotations

import argparse
import os
import ssl
from collections.abc import Mapping

from dynamo_cli.frontend.gate import Gate
from dynamo_cli.runtime.http.cors import Cors
from dynamo_cli.runtime.http.keys import KEYS_VARIABLE, load_keys
from dynamo_cli.runtime.http.tls import server_context, tls_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("public port")
    group.add_argument("--tls-cert-path", metavar="PEM", help="certificate chain: https (DYN_TLS_CERT_PATH)")
    group.add_argument("--tls-key-path", metavar="PEM", help="its private key (DYN_TLS_KEY_PATH)")
    group.add_argument(
        "--tls-client-ca-cert-path",
        metavar="PEM",
        help="clients need a certificate signed by one of these (DYN_TLS_CLIENT_CA_CERT_PATH)",
    )
    group.add_argument(
        "--api-keys-file",
        metavar="FILE",
        help=f"one API key a line, one of which each request needs (DYN_API_KEYS_FILE; {KEYS_VARIABLE}: the keys)",
    )
    group.add_argument(
        "--cors-allow-origin",
        action="append",
        metavar="ORIGIN",
        help="web pages that may ask, or *; repeatable (DYN_CORS_ALLOW_ORIGINS, comma separated)",
    )


def tls(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> ssl.SSLContext | None:
    """Raises UsageError."""
    files = tls_files(
        arguments.tls_cert_path or environ.get("DYN_TLS_CERT_PATH", ""),
        arguments.tls_key_path or environ.get("DYN_TLS_KEY_PATH", ""),
        arguments.tls_client_ca_cert_path or environ.get("DYN_TLS_CLIENT_CA_CERT_PATH", ""),
    )
    return server_context(files) if files else None


def gate(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Gate:
    """Raises UsageError."""
    named = arguments.cors_allow_origin or environ.get("DYN_CORS_ALLOW_ORIGINS", "").split(",")
    origins = [origin.strip() for origin in named if origin.strip()]
    keys = load_keys(environ.get(KEYS_VARIABLE), arguments.api_keys_file or environ.get("DYN_API_KEYS_FILE"))
    return Gate(keys, Cors(origins) if origins else None)
