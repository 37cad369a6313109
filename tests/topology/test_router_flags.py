"""What [router] says reaches the frontend, and the router process if there is one."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from dynamo_cli.disagg.conditional import ConditionalDisagg
from dynamo_cli.frontend import busy_threshold
from dynamo_cli.frontend.disaggregating import add_disagg_arguments, disagg_options
from dynamo_cli.frontend.router_service import add_router_service_argument, asks_router_service
from dynamo_cli.routing.kv_arguments import add_kv_routing_arguments, kv_routing_options
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.service.arguments import parse_arguments
from dynamo_cli.topology.parts import Conditional, Router
from dynamo_cli.topology.router_flags import kv_flags, router_flags

KEYS = {
    "policy": ("reference", "policy"),
    "overlap_score_credit": (0.5, "overlap_credit"),
    "temperature": (0.25, "temperature"),
    "kv_events": (False, "use_events"),
    "ttl_s": (7.0, "ttl_s"),
    "max_tree_size": (1000, "max_tree_size"),
    "prune_target_ratio": (0.5, "prune_ratio"),
    "predicted_ttl_s": (3.0, "predicted_ttl_s"),
    "track_active_blocks": (False, "track_active_blocks"),
    "track_output_blocks": (True, "track_output_blocks"),
    "replica_sync": (False, "replica_sync"),
    "session_affinity_ttl_s": (60, "session_ttl_s"),
    "session_affinity_mode": ("soft", "session_mode"),
}


def parsed(router: Router) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--router-mode")
    add_router_service_argument(parser)
    add_kv_routing_arguments(parser)
    busy_threshold.add_arguments(parser)
    add_disagg_arguments(parser)
    return parser.parse_args(list(router_flags(router)))


@pytest.mark.parametrize("key", KEYS)
def test_each_key_of_mode_kv_is_an_option_of_the_frontend(key: str) -> None:
    value, field = KEYS[key]
    given: dict[str, Any] = {key: value}
    options = kv_routing_options(parsed(Router(**given)), {})
    assert getattr(options, field) == value != getattr(KvRoutingOptions(), field)
    assert parse_arguments(list(kv_flags(Router(**given))), {}).kv == options


def test_no_key_is_left_out() -> None:
    disagg = {"enforce_disagg", "conditional_disagg"}
    busy = {name for name in Router.__struct_fields__ if name.endswith(("_threshold", "_frac"))}
    assert set(Router.__struct_fields__) == {"mode", "replicas", *busy, *disagg, *KEYS}


def test_what_it_says_of_prefill_workers_is_an_option_of_the_frontend() -> None:
    assert disagg_options(parsed(Router(enforce_disagg=True)), {}).enforce
    assert not disagg_options(parsed(Router(enforce_disagg=False)), {"DYN_ENFORCE_DISAGG": "1"}).enforce
    assert disagg_options(parsed(Router(conditional_disagg=Conditional())), {}).conditional == ConditionalDisagg()
    given: dict[str, Any] = {
        "policy": "isl_or_load",
        "eff_isl_threshold": 100,
        "eff_isl_ratio_threshold": 0.5,
        "prefill_busy_threshold": 2.5,
        "decode_busy_threshold": 0.25,
        "prefill_answers_after_s": 7.5,
    }
    options = disagg_options(parsed(Router(conditional_disagg=Conditional(**given))), {})
    assert options.conditional == ConditionalDisagg(**given)
    assert set(given) == set(ConditionalDisagg.__struct_fields__) == set(Conditional.__struct_fields__)


def test_what_is_not_said_is_left_to_the_frontend() -> None:
    assert list(router_flags(Router())) == ["--router-mode", "round-robin"]
    assert kv_routing_options(parsed(Router(mode="kv")), {}) == KvRoutingOptions()


def test_frontends_ask_the_router_processes_if_there_are_any() -> None:
    asked = Router(mode="kv", replicas=2, active_prefill_tokens_threshold=5)
    assert asks_router_service(parsed(asked), "kv", KvRoutingOptions(), {})
    assert not asks_router_service(parsed(Router(mode="kv")), "kv", KvRoutingOptions(), {})
    assert list(kv_flags(asked)) == []
