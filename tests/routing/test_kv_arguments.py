"""The options of router mode kv: flags, variables, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.routing.kv_arguments import add_kv_routing_arguments, kv_routing_options
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.runtime.arguments import ComponentParser


def options(*words: str, **environ: str) -> KvRoutingOptions:
    parser = ComponentParser("dynamo frontend")
    add_kv_routing_arguments(parser)
    return kv_routing_options(parser.parse_args(words), environ)


@pytest.mark.parametrize(
    ("words", "variables", "field", "value"),
    [
        (["--router-kv-overlap-score-credit=2"], {"DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT": "2"}, "overlap_credit", 2.0),
        (["--kv-overlap-score-weight=0"], {"DYN_KV_OVERLAP_SCORE_WEIGHT": "0"}, "overlap_credit", 0.0),
        (["--router-host-cache-hit-weight=0.5"], {"DYN_ROUTER_HOST_CACHE_HIT_WEIGHT": "0.5"}, "host_credit", 0.5),
        (["--router-disk-cache-hit-weight=0.5"], {"DYN_ROUTER_DISK_CACHE_HIT_WEIGHT": "0.5"}, "disk_credit", 0.5),
        (["--router-temperature=0.3"], {"DYN_ROUTER_TEMPERATURE": "0.3"}, "temperature", 0.3),
        (["--no-kv-events"], {"DYN_ROUTER_USE_KV_EVENTS": "false"}, "use_events", False),
        (["--no-router-kv-events"], {"DYN_ROUTER_USE_KV_EVENTS": "0"}, "use_events", False),
        (["--router-ttl-secs=9"], {"DYN_ROUTER_TTL_SECS": "9"}, "ttl_s", 9.0),
        (["--router-max-tree-size=9"], {"DYN_ROUTER_MAX_TREE_SIZE": "9"}, "max_tree_size", 9),
        (["--router-prune-target-ratio=0.5"], {"DYN_ROUTER_PRUNE_TARGET_RATIO": "0.5"}, "prune_ratio", 0.5),
        (["--router-predicted-ttl-secs=5"], {"DYN_ROUTER_PREDICTED_TTL_SECS": "5"}, "predicted_ttl_s", 5.0),
        (
            ["--no-router-track-active-blocks"],
            {"DYN_ROUTER_TRACK_ACTIVE_BLOCKS": "false"},
            "track_active_blocks",
            False,
        ),
        (["--no-router-replica-sync"], {"DYN_ROUTER_REPLICA_SYNC": "false"}, "replica_sync", False),
        (["--track-output-blocks"], {"DYN_ROUTER_TRACK_OUTPUT_BLOCKS": "true"}, "track_output_blocks", True),
        (
            ["--router-session-affinity-ttl-secs=60"],
            {"DYN_ROUTER_SESSION_AFFINITY_TTL_SECS": "60"},
            "session_ttl_s",
            60.0,
        ),
        (
            ["--router-session-affinity-mode=soft"],
            {"DYN_ROUTER_SESSION_AFFINITY_MODE": "soft"},
            "session_mode",
            "soft",
        ),
        (["--kv-cache-block-size=32"], {"DYN_KV_CACHE_BLOCK_SIZE": "32"}, "block_size", 32),
        (["--router-kv-policy=reference"], {"DYN_ROUTER_KV_POLICY": "reference"}, "policy", "reference"),
    ],
)
def test_each_option_has_a_flag_and_a_variable(
    words: list[str], variables: dict[str, str], field: str, value: Any
) -> None:
    assert getattr(options(*words), field) == value
    assert getattr(options(**variables), field) == value
    assert options() == KvRoutingOptions()


def test_a_flag_goes_before_its_variable() -> None:
    assert options("--router-temperature=0.1", DYN_ROUTER_TEMPERATURE="0.9").temperature == 0.1
    assert options("--kv-events", DYN_ROUTER_USE_KV_EVENTS="false").use_events


@pytest.mark.parametrize(
    ("words", "variables", "says"),
    [
        (["--router-temperature=-1"], {}, "--router-temperature '-1': want a number, 0 or more"),
        ([], {"DYN_ROUTER_TTL_SECS": "0"}, "DYN_ROUTER_TTL_SECS '0': want a number, more than 0"),
        (["--router-max-tree-size=1.5"], {}, "--router-max-tree-size '1.5': want a whole number, 1 or more"),
        (["--router-prune-target-ratio=2"], {}, "--router-prune-target-ratio '2': want a number, from 0 to 1"),
        ([], {"DYN_ROUTER_USE_KV_EVENTS": "maybe"}, "DYN_ROUTER_USE_KV_EVENTS='maybe': want true or false"),
        (["--router-kv-policy=best"], {}, "--router-kv-policy 'best': use kv, reference or least-tokens"),
    ],
)
def test_what_is_wrong_is_one_line(words: list[str], variables: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        options(*words, **variables)
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


@pytest.mark.parametrize("weight", ["kv-overlap-score-credit", "host-cache-hit-weight", "prefill-load-scale"])
def test_weights_that_would_make_costs_that_are_no_numbers_are_refused(weight: str) -> None:
    with pytest.raises(UsageError, match=rf"^--router-{weight} '1e308': want a number, from 0 to 1000$"):
        options(f"--router-{weight}=1e308")


def test_weights_of_the_references_cost_are_said_to_be_unused_in_another_one(caplog: pytest.LogCaptureFixture) -> None:
    words = ["--router-prefill-load-scale=2", "--router-approximate-cache-policy=lru"]
    found = options(*words, "--router-kv-policy=reference")
    assert (found.weights["prefill_load_scale"], found.cache_policy) == (2.0, "lru")
    assert not caplog.text
    assert "prefill_load_scale" not in options(*words).weights
    assert "--router-prefill-load-scale (DYN_ROUTER_PREFILL_LOAD_SCALE) is not used: the cost kv" in caplog.text
