from __future__ import annotations

import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.workers.arguments import parse_arguments


def test_what_is_unknown_is_the_engines() -> None:
    argv = "--engine llamacpp --model M -c 4096 --served-model-name N --flash-attn on -- --model X -t 2".split()
    parsed = parse_arguments(argv, {})
    assert (parsed.engine, parsed.model, parsed.model_name) == ("llamacpp", "M", "N")
    assert parsed.engine_args == ("-c", "4096", "--flash-attn", "on", "--model", "X", "-t", "2")


def test_defaults() -> None:
    parsed = parse_arguments([], {})
    assert (parsed.engine, parsed.model, parsed.endpoint_name) == ("auto", "", "dynamo.backend.generate")
    assert (parsed.grace_s, parsed.tensor_parallel, parsed.options) == (30.0, 1, {})


def test_the_request_limit() -> None:
    assert (parse_arguments([], {}).request_limit, parse_arguments([], {}).request_queue) == (None, 16)
    environ = {"DYN_ENGINE_REQUEST_LIMIT": "4", "DYN_DYNAMO_REQUEST_QUEUE_LIMIT": "0"}
    parsed = parse_arguments([], environ)
    assert (parsed.request_limit, parsed.request_queue) == (4, 0)
    assert parse_arguments(["--engine-request-limit", "2"], environ).request_limit == 2


def test_spellings_of_the_reference() -> None:
    parsed = parse_arguments(["--model-path", "/m", "--model-name", "n", "--namespace", "ns", "--store-kv", "file"], {})
    assert (parsed.model, parsed.model_name, parsed.endpoint_name) == ("/m", "n", "ns.backend.generate")
    assert parse_arguments(["--endpoint", "dyn://a.b.c"], {}).endpoint_name == "dyn://a.b.c"


def test_a_flag_is_never_abbreviated_because_it_could_be_the_engines() -> None:
    assert parse_arguments(["--max-model-len", "5", "--mod", "x"], {}).engine_args == (
        "--max-model-len",
        "5",
        "--mod",
        "x",
    )


@pytest.mark.parametrize(
    ("argv", "environ", "line"),
    [
        (["--options", "{"], {}, "--options"),
        (["--options", "[1]"], {}, "object"),
        ([], {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT": "soon"}, "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT"),
        (["--engine-request-limit", "0"], {}, "--engine-request-limit '0' is no whole number of at least 1"),
        (["--engine-request-limit", "few"], {}, "--engine-request-limit 'few'"),
        ([], {"DYN_ENGINE_REQUEST_LIMIT": "-1"}, "DYN_ENGINE_REQUEST_LIMIT '-1'"),
        ([], {"DYN_DYNAMO_REQUEST_QUEUE_LIMIT": "1.5"}, "DYN_DYNAMO_REQUEST_QUEUE_LIMIT '1.5'"),
    ],
)
def test_wrong_values_are_one_clear_line(argv: list[str], environ: dict[str, str], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        parse_arguments(argv, environ)
