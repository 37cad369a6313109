from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.runtime.redact import COVER, redact, redact_command, redact_environment

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
SECRET = st.text(ALPHABET, min_size=12, max_size=30)


@pytest.mark.parametrize(
    "template",
    [
        "token hf_{} refused",
        "key sk-{}",
        "Authorization: Bearer {}",
        "GET https://user:{}@host/path",
        "--api-key {} --port 1",
        "--api-key={}",
        "DYN_API_KEYS={}",
        "HF_TOKEN={} dynamo up",
        '{{"api_key": "{}"}}',
        "password: {}",
        "https://h/v1?api_key={}&x=1",
        "AWS_SECRET={}",
        '{{"password": "a b {} c"}}',
        '{{"message": "{{\\"password\\": \\"{}\\"}}"}}',
        "Command '['vllm', '--api-key', '{}']' died",
        '["vllm", "--hf-token", "{}"]',
        "passphrase: {}",
        "glpat-{}",
        "xoxb-{}",
    ],
)
@given(secret=SECRET)
def test_no_secret_is_left(template: str, secret: str) -> None:
    text = redact(template.format(secret))
    assert secret not in text and COVER in text
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=16",
        "cannot read /home/me/agg/token: No space left on device",
        "--api-keys-file /etc/dynamo/api_keys: Permission denied",
        "prompt_tokens: 300",
        "tokens: 12.",
        "a token was made",
        "--max-tokens 5",
        "https://host:8000/v1",
        "basic",
        "print_info: BOS token = 1 '<|im_start|>'",
        "generation throughput: 24.1 tokens/s, api: 2",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_environments_by_name() -> None:
    covered = redact_environment(
        {
            "HF_TOKEN": "x",
            "OPENAI_API_KEY": "y",
            "MYSQL_PWD": "z",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=z",
            "PWD": "/",
            "PATH": "/bin",
            "URL": "http://u:p@h",
            "DB_PASSWORD": "",
        }
    )
    assert covered == {
        "HF_TOKEN": COVER,
        "OPENAI_API_KEY": COVER,
        "MYSQL_PWD": COVER,
        "OTEL_EXPORTER_OTLP_HEADERS": COVER,
        "PWD": "/",
        "PATH": "/bin",
        "URL": f"http://u:{COVER}@h",
        "DB_PASSWORD": "",
    }


def test_commands() -> None:
    argv = [
        "sh",
        "-c",
        "it's --api-key 'a b'",
        "--api-key",
        "a b",
        "--hf-token",
        "--port",
        "1",
        "--password=x1",
        "sk-abcdefghi",
    ]
    shown = redact_command(argv)
    assert shown[3:] == ("--api-key", COVER, "--hf-token", "--port", "1", f"--password={COVER}", COVER)
    assert shown[2].startswith("it's --api-key ***")


@pytest.mark.alone
@pytest.mark.parametrize("unit", ["-", "a-", "a_", "--token ", "token: '", '"', "://", "a"])
def test_a_long_line_takes_no_longer_than_its_length(unit: str) -> None:
    began = time.process_time()
    redact("token " + unit * (64_000 // len(unit)))
    assert time.process_time() - began < 2
