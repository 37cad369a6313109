"""Mutual proof of the deployment's token: HMAC-SHA256 over both sides' nonces; the token is never sent."""

from __future__ import annotations

import hmac
import secrets

from dynamo_cli.runtime.links.frames import Hello, Proof, Purpose, Welcome

HANDSHAKE_S = 5.0
_NONCE_BYTES = 32


def new_hello() -> Hello:
    return Hello(secrets.token_bytes(_NONCE_BYTES))


def prove(token: bytes, hello: Hello, purpose: Purpose) -> Proof:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return Proof(nonce, _mac(token, b"client", purpose, hello.nonce, nonce), purpose)


def welcome(token: bytes, hello: Hello, proof: Proof) -> Welcome | None:
    """The server's own proof; None when the client's is wrong."""
    expected = _mac(token, b"client", proof.purpose, hello.nonce, proof.nonce)
    if not hmac.compare_digest(expected, proof.mac):
        return None
    return Welcome(_mac(token, b"server", proof.purpose, hello.nonce, proof.nonce))


def is_genuine(token: bytes, hello: Hello, proof: Proof, answer: Welcome) -> bool:
    return hmac.compare_digest(_mac(token, b"server", proof.purpose, hello.nonce, proof.nonce), answer.mac)


def _mac(token: bytes, side: bytes, purpose: str, *nonces: bytes) -> bytes:
    # Lengths are fixed or delimited, so no two different inputs give one message.
    message = b"\0".join([side, purpose.encode(), *(nonce.hex().encode() for nonce in nonces)])
    return hmac.digest(token, message, "sha256")
