"""When decode workers compute prompts themselves, as options say and as it is changed while a deployment runs."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from dynamo_cli.disagg.conditional import ConditionalDisagg
from dynamo_cli.disagg.options import DisaggOptions
from dynamo_cli.errors import UsageError
from dynamo_cli.frontend.app import FrontendOptions
from dynamo_cli.frontend.disaggregating import add_disagg_arguments, disagg_options
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.runtime.context import Context
from tests.frontend.toy import MODEL, Deployment

PATH = "/conditional_disagg"
OFF = {"model": MODEL, "enabled": False, "policy": "isl_bounding", "eff_isl_threshold": 2048}
OFF |= {"eff_isl_ratio_threshold": 0.7, "prefill_busy_threshold": 1.0, "decode_busy_threshold": None}
OFF["prefill_answers_after_s"] = None


@asynccontextmanager
async def halves(bare: Deployment, options: DisaggOptions, **more: Any) -> AsyncIterator[tuple[Any, list[str]]]:
    """A frontend with one worker of each half; the list says who got what."""
    seen: list[str] = []

    async def prefill(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        seen.append("prefill")
        yield Delta([], "length", usage=EngineUsage(9, 1), handover=Handover("toy", {"place": 7}))

    async def decode(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        seen.append("decode" if request.handover is None else f"fetch {request.handover.params['place']}")
        yield Delta([65], "length", usage=EngineUsage(9, 1, 0, 9, 90, 0.1))

    await bare.start(FrontendOptions(disagg=options, **more))
    await bare.add_worker(prefill, role="prefill")
    await bare.add_worker(decode, role="decode")
    await bare.ready()
    (model,) = bare.frontend.models
    while model.routed.prefill is None or not model.routed.prefill.candidates:
        await asyncio.sleep(0.005)
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        yield http, seen


async def send(http: httpx.AsyncClient, tokens: int = 9) -> httpx.Response:
    return await http.post("/v1/completions", json={"model": MODEL, "prompt": [66] * tokens, "max_tokens": 1})


async def test_a_change_counts_for_the_next_request(bare: Deployment) -> None:
    async with halves(bare, DisaggOptions()) as (http, seen):
        assert (await http.get(PATH)).json() == {"models": [OFF]}
        assert (await send(http)).status_code == 200
        change = {"model": MODEL, "enabled": True, "eff_isl_threshold": 10, "eff_isl_ratio_threshold": 2}
        changed = await http.post(PATH, json=change)
        assert changed.json() == OFF | change
        await send(http, 9)
        await send(http, 10)
        assert (await http.post(PATH, json={"model": MODEL})).json() == OFF | change
        assert (await http.post(PATH, json={"model": MODEL, "enabled": False})).json() == OFF
        await send(http, 9)
        assert seen == ["prefill", "fetch 7", "decode", "prefill", "fetch 7", "prefill", "fetch 7"]
        counts = (await http.get("/metrics")).text
    for name, value in {
        "remote_prefill_total": 3,
        "remote_prefill_kept_local_total": 1,
        "kv_transfer_total": 3,
    }.items():
        assert f'dynamo_frontend_{name}{{model="{MODEL}"}} {value}' in counts
    assert f'dynamo_frontend_kv_transfer_bytes_total{{model="{MODEL}"}} 270' in counts


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"model": MODEL, "eff_isl_threshold": 5}, 400, "is off"),
        ({"model": MODEL, "enabled": True, "policy": "always"}, 400, "policy"),
        ({"model": MODEL, "enabled": True, "eff_isl_threshold": -1}, 400, "eff_isl_threshold"),
        ({"model": MODEL, "enabled": True, "decode_busy_threshold": 1.5}, 400, "decode_busy_threshold"),
        ({"model": MODEL, "enable": True}, 400, "enable"),
        ({"model": "other", "enabled": True}, 404, "other"),
        ({"enabled": True}, 400, "model"),
    ],
)
async def test_a_wrong_change_changes_nothing(bare: Deployment, body: dict[str, Any], status: int, word: str) -> None:
    async with halves(bare, DisaggOptions()) as (http, _):
        answer = await http.post(PATH, json=body)
        assert (answer.status_code, word in answer.text) == (status, True)
        assert (await http.get(PATH)).json() == {"models": [OFF]}


async def test_what_is_enforced_is_not_made_conditional(bare: Deployment) -> None:
    async with halves(bare, DisaggOptions(enforce=True)) as (http, _):
        answer = await http.post(PATH, json={"model": MODEL, "enabled": True})
        assert (answer.status_code, "--enforce-disagg" in answer.text) == (400, True)


async def test_without_the_admin_api_it_cannot_be_changed(bare: Deployment) -> None:
    async with halves(bare, DisaggOptions(), admin_api=False) as (http, _):
        assert (await http.get(PATH)).status_code == 404
        assert (await http.post(PATH, json={"model": MODEL})).status_code == 404


async def test_a_change_reaches_the_other_frontends(bare: Deployment) -> None:
    async with halves(bare, DisaggOptions()) as (http, _):
        other, _ = await bare.add_frontend(service="frontend-1")
        await http.post(PATH, json={"model": MODEL, "enabled": True, "policy": "prefill_load"})
        while other.conditional.settings.of(MODEL) != ConditionalDisagg(policy="prefill_load"):
            await asyncio.sleep(0.005)
        await http.post(PATH, json={"model": MODEL, "enabled": False})
        while other.conditional.settings.of(MODEL) is not None:
            await asyncio.sleep(0.005)


async def test_nobody_to_prefill_is_one_clear_line_when_it_is_enforced(bare: Deployment) -> None:
    await bare.start(FrontendOptions(disagg=DisaggOptions(enforce=True)))

    async def decode(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        yield Delta([65], "length", usage=EngineUsage(9, 1))

    await bare.add_worker(decode, role="decode")
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        answer = await send(http)
    assert answer.status_code == 503
    assert "no prefill worker of it is there" in answer.json()["error"]["message"]


async def test_a_model_that_nobody_decodes_says_so(bare: Deployment) -> None:
    await bare.start()
    await bare.add_worker(role="prefill")
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        while (answer := await send(http)).status_code == 404:
            await asyncio.sleep(0.005)
        assert (answer.status_code, "none that decodes" in answer.text) == (503, True)
        await bare.add_worker(role="decode", service="decode-0")
        await bare.ready()
        assert MODEL in (await http.get("/v1/models")).text


# Options


def options(*arguments: str, **environ: str) -> DisaggOptions:
    parser = argparse.ArgumentParser()
    add_disagg_arguments(parser)
    return disagg_options(parser.parse_args(arguments), environ)


def test_nothing_is_conditional_unless_it_is_asked_for() -> None:
    assert options() == DisaggOptions()
    assert options("--router-conditional-disagg").conditional == ConditionalDisagg()
    assert options("--no-router-conditional-disagg", DYN_ROUTER_CONDITIONAL_DISAGG="1").conditional is None
    assert options(DYN_PREFILL_TIMEOUT_SECS="7").prefill_timeout_s == 7.0


@pytest.mark.parametrize(
    ("arguments", "environ", "line"),
    [
        (["--router-conditional-disagg-config", "{}"], {}, "add --router-conditional-disagg"),
        (["--router-conditional-disagg", "--router-conditional-disagg-config", "{"], {}, "-config"),
        (["--router-conditional-disagg", "--router-conditional-disagg-config", '{"a": 1}'], {}, "`a`"),
        (["--router-conditional-disagg"], {"DYN_ROUTER_CONDITIONAL_DISAGG_CONFIG": "[]"}, "DYN_ROUTER_COND"),
        (["--router-conditional-disagg", "--enforce-disagg"], {}, "leave and stay"),
        ([], {"DYN_PREFILL_TIMEOUT_SECS": "0"}, "above 0"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], environ: dict[str, str], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        options(*arguments, **environ)
