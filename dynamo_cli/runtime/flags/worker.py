"""Options of the reference's workers that do not depend on the engine."""

from __future__ import annotations

from dynamo_cli.runtime.flags.flag import OFF, Flag, Reason, refused, supported
from dynamo_cli.runtime.flags.reasons import NO_CANARY, NO_DISAGGREGATION, NO_PARSING
from dynamo_cli.runtime.flags.router import ROUTER

_FRONTENDS = Reason("workers do not route", "give it to dynamo frontend")
_NO_FORCED_CALLS = Reason("no tool call is enforced", 'leave it out: tool_choice is "auto" or "none"')
_OWN_TEMPLATE = Reason(
    "the chat template is that of the model", "put yours in its place: chat_template.jinja in the model's directory"
)
_BOTH_ENDPOINTS = Reason("a model serves chat and completions", "leave it out")
_TEXT_ALONE = Reason("models take text and write text", "leave it out")
_NO_CONNECTOR = Reason("there is no KV connector of our own", "give the engine's own argument after --")
_NO_STATE_ENDPOINT = Reason("a worker has no endpoint for the state of its cache", "leave it out")
_NO_STEP_TRACE = Reason("the steps of an engine are not traced", "use DYN_LOG=debug, or OTEL_EXPORT_ENABLED=1")

WORKER: tuple[Flag, ...] = (
    supported("--model-path", "--model"),
    supported("--model-name", "--served-model-name"),
    supported("--endpoint", "DYN_ENDPOINT"),
    supported("--engine-request-limit", "DYN_ENGINE_REQUEST_LIMIT"),
    supported("DYN_DYNAMO_REQUEST_QUEUE_LIMIT"),
    supported("DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", note="the default is 30 s"),
    refused("--endpoint-types", "DYN_ENDPOINT_TYPES", why=_BOTH_ENDPOINTS, harmless=("chat,completions",)),
    refused("--custom-jinja-template", "DYN_CUSTOM_JINJA_TEMPLATE", why=_OWN_TEMPLATE, strict=True),
    refused("--dyn-tool-call-parser", "DYN_TOOL_CALL_PARSER", why=NO_PARSING),
    refused("--dyn-reasoning-parser", "DYN_REASONING_PARSER", why=NO_PARSING),
    refused(
        "--dyn-default-thinking-mode",
        "DYN_DEFAULT_THINKING_MODE",
        why=Reason("a template's switches are those of the request", "send chat_template_kwargs with enable_thinking"),
    ),
    refused("--[no-]dyn-enable-structural-tag", "DYN_ENABLE_STRUCTURAL_TAG", why=_NO_FORCED_CALLS, harmless=OFF),
    refused("--dyn-structural-tag-scope", "DYN_STRUCTURAL_TAG_SCOPE", why=_NO_FORCED_CALLS),
    refused("--dyn-structural-tag-schema", "DYN_STRUCTURAL_TAG_SCHEMA", why=_NO_FORCED_CALLS),
    refused("--dyn-structural-tag", "DYN_STRUCTURAL_TAG", why=_NO_FORCED_CALLS),
    refused("--connector", "DYN_CONNECTOR", why=_NO_CONNECTOR, harmless=("none",)),
    refused("--kv-state-endpoint", "DYN_KV_STATE_ENDPOINT", why=_NO_STATE_ENDPOINT),
    refused("--[no-]fpm-trace", "DYN_FPM_TRACE", why=_NO_STEP_TRACE, harmless=OFF),
    refused("--health-check-payload", "DYN_HEALTH_CHECK_PAYLOAD", why=NO_CANARY),
    refused("--output-modalities", "DYN_OUTPUT_MODALITIES", why=_TEXT_ALONE, harmless=("text",)),
    refused("--media-output-fs-url", "DYN_MEDIA_OUTPUT_FS_URL", why=_TEXT_ALONE),
    refused("--media-output-http-url", "DYN_MEDIA_OUTPUT_HTTP_URL", why=_TEXT_ALONE),
    refused(
        "--multimodal-embedding-cache-capacity-gb",
        "DYN_MULTIMODAL_EMBEDDING_CACHE_CAPACITY_GB",
        why=_TEXT_ALONE,
        harmless=("0",),
    ),
    refused(
        "--[no-]multimodal-embedding-cache-publisher",
        "DYN_MULTIMODAL_EMBEDDING_CACHE_PUBLISHER",
        why=_TEXT_ALONE,
        harmless=OFF,
    ),
    refused("--disaggregation-mode", why=NO_DISAGGREGATION, harmless=("agg", "aggregated")),
    refused("--is-prefill-worker", why=NO_DISAGGREGATION),
    refused("--is-decode-worker", why=NO_DISAGGREGATION),
)
ROUTERS: tuple[Flag, ...] = tuple(
    Flag(names, (), flag.switch, reason=_FRONTENDS)
    for flag in ROUTER
    if (names := tuple(name for name in flag.names if name.startswith(("--router-", "--no-router-"))))
)
"""What the reference's mocker has of them. A variable of them is meant for the frontends."""
