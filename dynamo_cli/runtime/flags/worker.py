"""Options of the reference's workers that do not depend on the engine."""

from __future__ import annotations

from dynamo_cli.runtime.flags.flag import OFF, ON, Flag, Reason, refused, supported
from dynamo_cli.runtime.flags.reasons import NO_PARSING
from dynamo_cli.runtime.flags.router import OF_FRONTENDS, ROUTER

_FRONTENDS = Reason("workers do not route", "give it to dynamo frontend")
_NO_FORCED_CALLS = Reason("no tool call is enforced", 'leave it out: tool_choice is "auto" or "none"')
_BOTH_ENDPOINTS = Reason("a model serves chat and completions", "leave it out")
_TEXT_ALONE = Reason("models take text and write text", "leave it out")
_NO_CONNECTOR = Reason("there is no KV connector of our own", "give the engine's own argument after --")
_NO_STATE_ENDPOINT = Reason("a worker has no endpoint for the state of its cache", "leave it out")
_PORT_ENABLES = Reason("a system server is there when it has a port", "set DYN_SYSTEM_PORT, 0 for any free one")
_HEALTH_IS_TRUE = Reason("a worker is ready when it has generated a token, not before", "leave it out")
_ONE_ENDPOINT = Reason("a worker's health is that of its one endpoint", "leave it out")
_SHARED_DISK = Reason("frontends read a model's files from the disk they share with workers", "leave it out")
_ENGINE_HAS_ADAPTERS = Reason("an engine says by itself whether it serves adapters", "leave it out")
_NO_LORA_CACHE = Reason("adapters are not fetched", "give their directories to --adapter or POST /v1/loras")
_NO_STEP_TRACE = Reason("the steps of an engine are not traced", "use DYN_LOG=debug, or OTEL_EXPORT_ENABLED=1")

WORKER: tuple[Flag, ...] = (
    supported("--model-path", "--model"),
    supported("--model-name", "--served-model-name"),
    supported("--endpoint", "DYN_ENDPOINT"),
    supported("--engine-request-limit", "DYN_ENGINE_REQUEST_LIMIT"),
    supported("DYN_DYNAMO_REQUEST_QUEUE_LIMIT"),
    supported("DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", note="the default is 30 s"),
    refused("--endpoint-types", "DYN_ENDPOINT_TYPES", why=_BOTH_ENDPOINTS, harmless=("chat,completions",)),
    supported("--custom-jinja-template", "DYN_CUSTOM_JINJA_TEMPLATE"),
    supported(
        "--[no-]use-vllm-tokenizer",
        "--[no-]use-sglang-tokenizer",
        "--[no-]text-input",
        "DYN_VLLM_USE_TOKENIZER",
        "DYN_SGL_USE_TOKENIZER",
        note="of engines that can tokenize themselves",
    ),
    supported("--[no-]headless", "DYN_VLLM_HEADLESS", note="of engines that have secondary nodes"),
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
    supported("DYN_HEALTH_CHECK_ENABLED"),
    supported("DYN_CANARY_WAIT_TIME"),
    supported("DYN_HEALTH_CHECK_REQUEST_TIMEOUT"),
    supported("--health-check-payload", "DYN_HEALTH_CHECK_PAYLOAD", note="JSON, or @FILE"),
    supported("DYN_MM_ALLOW_URLS", note="media are fetched from https: URLs of public addresses"),
    supported("DYN_MM_ALLOW_INTERNAL", note="and from http: URLs, and from any address"),
    supported("DYN_MM_LOCAL_PATH", note="and from file: URLs below this directory"),
    supported("DYN_MM_MAX_FILE_SIZE_MB", note="of one of them; 24 by default, which is the most of all"),
    supported("DYN_MM_FETCH_TIMEOUT_SECS", note="the default is 10 s"),
    supported("DYN_SYSTEM_PORT", note="-1 is none, 0 any free port"),
    supported("DYN_SYSTEM_HOST", note="the default is 127.0.0.1"),
    refused("DYN_SYSTEM_ENABLED", why=_PORT_ENABLES, harmless=OFF),
    refused("DYN_SYSTEM_STARTING_HEALTH_STATUS", why=_HEALTH_IS_TRUE, harmless=("notready",)),
    refused("DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS", why=_ONE_ENDPOINT, harmless=('["generate"]',)),
    refused("DYN_SELF_HOST_METADATA", why=_SHARED_DISK, harmless=OFF),
    refused("DYN_LORA_ENABLED", why=_ENGINE_HAS_ADAPTERS, harmless=ON),
    refused("DYN_LORA_PATH", why=_NO_LORA_CACHE),
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
    supported(
        "--disaggregation-mode",
        "DYN_VLLM_DISAGGREGATION_MODE",
        "DYN_TRTLLM_DISAGGREGATION_MODE",
        note="agg, prefill or decode, of engines that hand KV over",
    ),
    supported("--[no-]is-prefill-worker", note="--disaggregation-mode prefill"),
    supported("--[no-]is-decode-worker", note="--disaggregation-mode decode"),
)
ROUTERS: tuple[Flag, ...] = tuple(
    Flag(names, (), flag.switch, reason=_FRONTENDS)
    for flag in (*OF_FRONTENDS, *ROUTER)
    if (names := tuple(name for name in flag.names if name.startswith(("--router-", "--no-router-"))))
)
"""What the reference's mocker has of them. A variable of them is meant for the frontends."""
