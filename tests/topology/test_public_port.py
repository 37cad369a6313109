"""`[frontend]`: https, API keys, web pages of other origins."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.topology.load import load_topology
from dynamo_cli.topology.public_port import port_options
from tests.certificates import Certificates
from tests.topology.machines import machine, plan
from tests.topology.test_problems import GOOD, problems

PATHS = ("tls_cert_path", "tls_key_path", "tls_client_ca_cert_path")


def frontend(**keys: str) -> str:
    return GOOD + "[frontend]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())


def test_paths_are_relative_to_the_file(tmp_path: Path, pem: Certificates) -> None:
    for name, source in (("cert.pem", pem.cert), ("key.pem", pem.key)):
        (tmp_path / name).write_bytes(Path(source).read_bytes())
    (tmp_path / "keys").write_text("a\n")
    text = frontend(tls_cert_path="cert.pem", tls_key_path="./key.pem", api_keys_file="keys")
    made = plan(tmp_path, text + 'cors_allow_origins = ["https://a.example", "*"]\n', machine())
    assert made.tls
    argv = made.processes[0].argv
    assert argv[argv.index("--tls-cert-path") :] == (
        *("--tls-cert-path", str(tmp_path / "cert.pem"), "--tls-key-path", str(tmp_path / "key.pem")),
        *("--api-keys-file", str(tmp_path / "keys")),
        *("--cors-allow-origin", "https://a.example", "--cors-allow-origin", "*"),
    )


def test_plain_http_is_the_default(tmp_path: Path) -> None:
    made = plan(tmp_path, GOOD, machine())
    assert not made.tls
    assert not [word for word in made.processes[0].argv if word.startswith(("--tls", "--api", "--cors"))]


def test_the_environment_counts_where_the_file_is_silent(tmp_path: Path, pem: Certificates) -> None:
    file = tmp_path / "t.toml"
    file.write_text(GOOD)
    environ = {"DYN_TLS_CERT_PATH": pem.cert, "DYN_TLS_KEY_PATH": pem.key, "DYN_TLS_CLIENT_CA_CERT_PATH": pem.authority}
    read = load_topology(file, environ=environ).frontend
    assert [getattr(read, key) for key in PATHS] == [pem.cert, pem.key, pem.authority]
    file.write_text(frontend(tls_cert_path=pem.cert, tls_key_path=pem.key))
    read = load_topology(file, environ={"DYN_TLS_CERT_PATH": "/none", "DYN_TLS_KEY_PATH": "/none"}).frontend
    assert [getattr(read, key) for key in PATHS] == [pem.cert, pem.key, ""]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"tls_cert_path": "{cert}"}, "F:5: frontend.tls_cert_path: is given without its key"),
        ({"tls_key_path": "{key}"}, "F:5: frontend.tls_key_path: is given without its certificate"),
        ({"tls_cert_path": "/none", "tls_key_path": "{key}"}, "F:5: frontend.tls_cert_path: /none: No such file or"),
        (
            {"tls_cert_path": "{cert}", "tls_key_path": "{expired_key}"},
            "F:6: frontend.tls_key_path: {expired_key}: is not",
        ),
        (
            {"tls_cert_path": "{expired}", "tls_key_path": "{expired_key}"},
            "F:5: frontend.tls_cert_path: {expired}: certificate has expired",
        ),
        (
            {"tls_cert_path": "{cert}", "tls_key_path": "{key}", "tls_client_ca_cert_path": "{key}"},
            "F:7: frontend.tls_client_ca_cert_path: {key}: holds no PEM certificate",
        ),
        ({"tls_cert_path": ""}, "F:5: frontend.tls_cert_path: must not be empty"),
        ({"api_keys_file": "/none"}, "F:5: frontend.api_keys_file: /none: No such file or directory"),
        ({"api_keys_file": "/dev/null"}, "F:5: frontend.api_keys_file: /dev/null: holds no key"),
    ],
)
def test_wrong_files_are_said_before_anything_starts(
    tmp_path: Path, pem: Certificates, keys: dict[str, str], line: str
) -> None:
    names = pem._asdict()
    (said,) = problems(tmp_path, frontend(**{key: value.format(**names) for key, value in keys.items()}))
    assert said.startswith(line.format(**names))


def test_an_origin_that_is_none_is_said(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD + '[frontend]\ncors_allow_origins = ["*", "me"]\n') == [
        "F:5: frontend.cors_allow_origins[1]: me: expected an origin such as https://example.com, or *"
    ]


def test_a_request_trace_begins_at_its_file(tmp_path: Path) -> None:
    for text, prefix in (("rt/requests", "rt/requests"), ("rt/", "rt/")):
        file = tmp_path / "t.toml"
        file.write_text(f'[frontend]\nrequest_trace = "{text}"\n[workers.w]\nengine = "echo"\n')
        assert list(port_options(load_topology(file).frontend)) == ["--request-trace", f"{tmp_path}/{prefix}"]
