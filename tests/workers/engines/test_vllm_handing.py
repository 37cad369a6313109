"""What vLLM's adapter makes of hand-overs, without vLLM."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dynamo_cli.errors import EngineFailed, EngineMissing, TransferFailed
from dynamo_cli.protocol.engine import EngineRequest, StopConditions
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.workers.engines.vllm.counts import Transfer, Transferred
from dynamo_cli.workers.engines.vllm.handing import HandOvers, connector_of, ports_of, prepare_handing
from dynamo_cli.workers.engines.vllm.output import Output
from dynamo_cli.workers.engines.vllm.sampling import sampling_arguments
from tests.workers.engines.test_vllm_parts import found

LEFT = {
    "do_remote_prefill": True,
    "do_remote_decode": False,
    "remote_engine_id": "e",
    "remote_block_ids": [[1]],
    "remote_host": "127.0.0.1",
    "remote_port": 5600,
    "remote_request_id": "7",
}


def handed(params: dict[str, Any], family: str = "vllm") -> EngineRequest:
    return EngineRequest("m", [1, 2, 3], handover=Handover(family, params))


def test_a_prefill_keeps_its_blocks_and_drops_its_token() -> None:
    request = EngineRequest("m", [1, 2, 3], stop=StopConditions(max_tokens=1, stop_token_ids=(0,)), prefill_only=True)
    arguments = sampling_arguments(request, 1, {})
    assert (arguments["ignore_eos"], arguments["stop_token_ids"], arguments["max_tokens"]) == (True, [], 1)
    asked = HandOvers().parameters(request)
    assert asked is not None and asked["do_remote_decode"] and not asked["do_remote_prefill"]
    kept = found([5], "length")
    kept.kv_transfer_params = LEFT
    delta = Output(request, Transferred()).take(kept)
    assert (delta.token_ids, delta.finish_reason, delta.handover) == ([], "length", Handover("vllm", LEFT))
    for finish, error in (("error", EngineFailed), ("length", EngineFailed)):
        nothing = found([5], finish)
        nothing.kv_transfer_params = None
        with pytest.raises(error):
            Output(request, Transferred()).take(nothing)


def test_a_hand_over_is_fetched_once_and_only_whole() -> None:
    handovers = HandOvers()
    assert handovers.parameters(EngineRequest("m", [1])) is None
    assert handovers.parameters(handed(LEFT)) == LEFT
    wrong = [handed(LEFT), handed(LEFT, "mock"), handed({}), handed({**LEFT, "do_remote_prefill": False})]
    wrong += [handed({key: value for key, value in LEFT.items() if key != name}) for name in LEFT]
    for request in wrong:
        with pytest.raises(TransferFailed):
            handovers.parameters(request)
    assert handovers.parameters(handed({**LEFT, "remote_request_id": "8"})) is not None


def test_what_was_transferred_is_told_once() -> None:
    transferred = Transferred()
    stats = SimpleNamespace(kv_connector_stats={"bytes_transferred": [10, 20], "transfer_duration": [0.5]})
    transferred.record(stats, SimpleNamespace(prompt_token_stats=SimpleNamespace(external_kv_transfer=3)))
    transferred.record(SimpleNamespace(kv_connector_stats=None), None)
    output = Output(handed(LEFT), transferred)
    output.take(found([5]))
    usage = output.take(found([6], "length")).usage
    assert usage is not None
    assert (usage.transferred_tokens, usage.transferred_bytes, usage.transfer_s) == (3, 30, 0.5)
    assert transferred.take() == Transfer()
    with pytest.raises(TransferFailed):
        Output(handed(LEFT), transferred).take(found([], "error"))


def test_without_nixl_a_line_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineMissing, match=r"not installed; run `pip install --no-deps nixl nixl-cu13`$"):
        connector_of("prefill", on_cpu=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    on_cpu, on_gpu = connector_of("decode", on_cpu=True), connector_of("decode", on_cpu=False)
    assert (on_cpu["kv_role"], on_cpu["kv_buffer_device"]) == (
        "kv_consumer",
        "cpu",
    ) and "kv_buffer_device" not in on_gpu
    assert (ports_of("prefill"), ports_of("decode"), ports_of("aggregated")) == (("nixl",), ("nixl",), ())


def test_nixl_stays_on_loopback_and_what_is_set_stays() -> None:
    environ = {"UCX_NET_DEVICES": "eth0"}
    added = prepare_handing(environ, 5601, on_cpu=True)
    assert environ["VLLM_NIXL_SIDE_CHANNEL_PORT"] == "5601" and environ["VLLM_NIXL_SIDE_CHANNEL_HOST"] == "127.0.0.1"
    assert environ["UCX_NET_DEVICES"] == "eth0" and "UCX_NET_DEVICES" not in added
    assert set(added) | {"UCX_NET_DEVICES"} == set(environ)
    on_gpu: dict[str, str] = {}
    prepare_handing(on_gpu, 5601, on_cpu=False)
    assert "UCX_TLS" not in on_gpu
