"""An authority and what it has signed, made for a test."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import NamedTuple

import trustme


class Certificates(NamedTuple):
    """Paths of PEM files; `client` holds key and certificate. `stranger`: of another authority."""

    authority: str
    cert: str
    key: str
    client: str
    stranger: str
    expired: str
    expired_key: str


def make_certificates(directory: Path) -> Certificates:
    authority, other = trustme.CA(), trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    expired = authority.issue_cert(
        "localhost", not_after=datetime.datetime(2020, 1, 1), not_before=datetime.datetime(2019, 1, 1)
    )

    def write(name: str, *blobs: trustme.Blob) -> str:
        path = directory / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return str(path)

    return Certificates(
        write("authority.pem", authority.cert_pem),
        write("cert.pem", *server.cert_chain_pems),
        write("key.pem", server.private_key_pem),
        write("client.pem", authority.issue_cert("me@example.org").private_key_and_cert_chain_pem),
        write("stranger.pem", other.issue_cert("you@example.org").private_key_and_cert_chain_pem),
        write("expired.pem", *expired.cert_chain_pems),
        write("expired-key.pem", expired.private_key_pem),
    )
