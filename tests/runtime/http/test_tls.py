from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.http.tls import server_context, tls_files
from tests.certificates import Certificates


def test_a_good_pair_makes_a_context(pem: Certificates) -> None:
    files = tls_files(pem.cert, pem.key, "")
    assert files is not None
    assert server_context(files).verify_mode == ssl.CERT_NONE
    context = server_context(files._replace(client_ca=pem.authority))
    assert (context.verify_mode, context.minimum_version) == (ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2)


def test_nothing_named_is_plain_http() -> None:
    assert tls_files("", "", "") is None


@pytest.mark.parametrize(
    ("cert", "key", "client_ca", "line"),
    [
        ("cert", "", "", "--tls-cert-path is given without its key"),
        ("", "key", "", "--tls-key-path is given without its certificate"),
        ("", "", "authority", "--tls-client-ca-cert-path is given without the server's own certificate and key"),
        ("/none", "key", "", "--tls-cert-path /none: No such file or directory"),
        ("cert", "/none", "", "--tls-key-path /none: No such file or directory"),
        ("cert", "key", "/none", "--tls-client-ca-cert-path /none: No such file or directory"),
        ("cert", "expired_key", "", "--tls-key-path {expired_key}: is not the key of {cert}"),
        ("expired", "expired_key", "", "--tls-cert-path {expired}: certificate has expired"),
        ("key", "key", "", "--tls-cert-path {key}: holds no PEM certificate"),
        ("cert", "cert", "", "--tls-key-path {cert}: holds no PEM private key"),
        ("cert", "key", "key", "--tls-client-ca-cert-path {key}: holds no PEM certificate"),
    ],
)
def test_wrong_files_are_one_line(pem: Certificates, cert: str, key: str, client_ca: str, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        files = tls_files(*(getattr(pem, name, name) for name in (cert, key, client_ca)))
        assert files is not None
        server_context(files)
    assert str(caught.value) == line.format(**pem._asdict())


def test_broken_and_encrypted_files_are_named(pem: Certificates, tmp_path: Path) -> None:
    broken, encrypted = tmp_path / "broken.pem", tmp_path / "encrypted.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nzzz\n-----END CERTIFICATE-----\n")
    subprocess.run(
        ["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", pem.key, "-out", str(encrypted)], check=True
    )
    for cert, key, client_ca, line in [
        (str(broken), pem.key, "", f"--tls-cert-path {broken} with the key {pem.key}: the PEM is broken"),
        (pem.cert, pem.key, str(broken), f"--tls-client-ca-cert-path {broken}: the PEM is broken"),
        (pem.cert, str(encrypted), "", f"--tls-key-path {encrypted}: the key is encrypted; a server needs one"),
    ]:
        files = tls_files(cert, key, client_ca)
        assert files is not None
        with pytest.raises(UsageError) as caught:
            server_context(files)
        assert str(caught.value).startswith(line)
