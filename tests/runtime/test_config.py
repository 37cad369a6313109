from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.config import RuntimeConfig, add_runtime_arguments


def parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_runtime_arguments(parser)
    return parser.parse_args(argv)


def test_defaults(tmp_path: Path) -> None:
    config = RuntimeConfig.from_args(parse(), {"DYNAMO_HOME": str(tmp_path)})
    assert (config.deployment, config.service, config.namespace, config.namespace_prefix) == (
        "local",
        "",
        "dynamo",
        None,
    )
    assert (config.discovery, config.request_plane, config.event_plane) == ("file", "tcp", "tcp")
    assert config.host == "127.0.0.1"
    assert config.discovery_root == tmp_path / "local" / "discovery"
    assert config.token == (tmp_path / "local" / "token").read_bytes()


def test_the_environment_beats_the_default(tmp_path: Path) -> None:
    environ = {
        "DYNAMO_HOME": str(tmp_path),
        "DYNAMO_DEPLOYMENT": "agg",
        "DYNAMO_SERVICE": "decode-0",
        "DYN_NAMESPACE": "mine",
        "DYN_NAMESPACE_PREFIX": "mi",
        "DYN_STORE_KV": "mem",
        "DYN_EVENT_PLANE": "mem",
        "DYN_FILE_KV": str(tmp_path / "kv"),
        "DYN_TCP_RPC_HOST": "127.0.0.2",
        "DYN_TOKEN": "shared",
    }
    config = RuntimeConfig.from_args(environ=environ)
    assert (config.deployment, config.service, config.namespace, config.namespace_prefix) == (
        "agg",
        "decode-0",
        "mine",
        "mi",
    )
    assert (config.discovery, config.event_plane, config.host) == ("mem", "mem", "127.0.0.2")
    assert config.discovery_root == tmp_path / "kv"
    assert config.token == b"shared"
    assert "shared" not in repr(config)


@pytest.mark.parametrize("flag", ["--discovery-backend", "--store-kv"])
def test_a_flag_beats_the_environment(flag: str, tmp_path: Path) -> None:
    environ = {"DYNAMO_HOME": str(tmp_path), "DYN_DISCOVERY_BACKEND": "file", "DYN_NAMESPACE": "theirs"}
    config = RuntimeConfig.from_args(parse(flag, "mem", "--namespace", "mine"), environ)
    assert (config.discovery, config.namespace) == ("mem", "mine")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--store-kv", "etcd"], "discovery backend 'etcd' is not available; use file or mem"),
        (["--request-plane", "nats"], "request plane 'nats' is not available; use tcp"),
        (["--event-plane", "zmq"], "event plane 'zmq' is not available; use tcp or mem"),
        (["--event-plane", "nats"], "event plane 'nats' is not available; use tcp or mem"),
    ],
)
def test_what_is_not_there_is_refused(argv: list[str], line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=line):
        RuntimeConfig.from_args(parse(*argv), {"DYNAMO_HOME": str(tmp_path)})
