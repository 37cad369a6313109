"""Options of the reference's frontend, those of its router aside."""

from __future__ import annotations

from dynamo_cli.runtime.flags.flag import OFF, ON, Flag, Reason, alias, refused, supported
from dynamo_cli.runtime.flags.reasons import NO_PARSING

_NO_PROMPT = Reason("a frontend has no prompt of its own", "run dynamo chat")
_NO_MODEL_FILES = Reason("a frontend takes the model's files from its workers", "give the path to dynamo worker")
_NO_GRPC = Reason("there is no gRPC server here", "use the OpenAI-compatible HTTP API")
_NO_ANTHROPIC = Reason("there is no Anthropic API here", "use /v1/chat/completions")
_NO_ROUTES = Reason("a frontend loads no routes of others", "put a reverse proxy in front of it")
_OWN_TEXT = Reason("a frontend renders and tokenizes by itself, in one way", "leave it out")
_NO_FOREIGN_CODE = Reason("no code that comes with a model is ever run", "leave it out")
_NO_PROCESS_POOL = Reason(
    "a frontend tokenizes in its one process", "start more frontends on the same port: replicas in [frontend]"
)
_NO_WAIT = Reason(
    "a frontend starts at once and waits for no worker", "wait with dynamo up, or for status 200 of /health"
)
_NO_PROFILE = Reason("there is no such profile of a frontend", "use DYN_LOG=debug, /metrics or OTEL_EXPORT_ENABLED=1")
_FIXED_PATHS = Reason("the paths of the API are fixed", "rewrite them in a reverse proxy")
_ASK_FOR_USAGE = Reason("a stream tells its usage when it is asked to", "send stream_options.include_usage")
_FIELDS_BY_KIND = Reason(
    "fields without effect are ignored and those that would be missed are refused", "see docs/api.md, and leave it out"
)
_NO_NATIVE_API = Reason("engines' own APIs are not passed on", "use /v1/chat/completions or /v1/completions")
_OTHER_TRACE = Reason(
    "requests are traced in another way",
    "set DYN_REQUEST_TRACE=1 and DYN_REQUEST_TRACE_RECORDS=request_end,request_payload",
)
_NO_POLLING = Reason("a frontend polls no endpoint for metrics", "read the metrics that /metrics adds up")
_NO_FACTORY = Reason("there is no engine in a frontend", "run dynamo worker --engine custom")
_SYSTEM_IS_FOR_WORKERS = Reason(
    "a frontend has no port of its own for this, workers have",
    "ask its public port for /health and /metrics, or use dynamo status",
)
_CANARY_IS_FOR_WORKERS = Reason("it is workers that are probed", "set it for them alone")

FRONTEND: tuple[Flag, ...] = (
    supported("--http-host", "DYN_HTTP_HOST", note="the default is 127.0.0.1, not 0.0.0.0"),
    supported("--http-port", "DYN_HTTP_PORT"),
    supported("--tls-cert-path", "DYN_TLS_CERT_PATH"),
    supported("--tls-key-path", "DYN_TLS_KEY_PATH"),
    supported("--tls-client-ca-cert-path", "DYN_TLS_CLIENT_CA_CERT_PATH"),
    supported("--namespace-prefix", "DYN_NAMESPACE_PREFIX"),
    supported("--migration-limit", "DYN_MIGRATION_LIMIT", note="the default is 3, not 0"),
    supported("--migration-max-seq-len", "DYN_MIGRATION_MAX_SEQ_LEN"),
    supported("--model-name", "DYN_MODEL_NAME", note="the only model that is served; the default is all"),
    supported("--metrics-prefix", "DYN_METRICS_PREFIX"),
    supported("DYN_HISTOGRAM_*", "DYN_METRICS_*", note="_MIN, _MAX and _COUNT of a histogram"),
    supported("DYN_HTTP_BODY_LIMIT_MB"),
    supported("DYN_HTTP_OVERLOAD_STATUS_CODE"),
    supported("DYN_HTTP_GRACEFUL_SHUTDOWN_TIMEOUT_SECS"),
    supported("DYN_HTTP_SSE_KEEP_ALIVE_INTERVAL_MS"),
    supported("DYN_HTTP_PRE_COMMIT_ERROR_PEEK_MS"),
    supported("DYN_HTTP_BACKEND_STREAM_TIMEOUT_SECS", note="the stream moves to another worker before it ends"),
    supported("DYN_DISABLE_FRONTEND_ADMIN_API"),
    supported("DYN_DISABLE_FRONTEND_NVEXT"),
    supported("DYN_REQUEST_TRACE"),
    supported("DYN_REQUEST_TRACE_RECORDS", note="request_end, request_payload; tool is ignored"),
    supported("DYN_REQUEST_TRACE_SINKS", note="file; others are an error"),
    supported("DYN_REQUEST_TRACE_FILE_FORMAT", note="jsonl_gz; others are an error"),
    supported("DYN_REQUEST_TRACE_FILE_PATH"),
    supported("DYN_REQUEST_TRACE_CAPACITY"),
    supported("DYN_REQUEST_TRACE_FILE_BUFFER_BYTES"),
    supported("DYN_REQUEST_TRACE_FILE_FLUSH_INTERVAL_MS"),
    supported("DYN_REQUEST_TRACE_FILE_ROLL_BYTES"),
    supported("--active-decode-blocks-threshold", "DYN_ACTIVE_DECODE_BLOCKS_THRESHOLD"),
    supported("--active-prefill-tokens-threshold", "DYN_ACTIVE_PREFILL_TOKENS_THRESHOLD"),
    supported("--active-prefill-tokens-threshold-frac", "DYN_ACTIVE_PREFILL_TOKENS_THRESHOLD_FRAC"),
    alias("--busy-threshold", of="--active-decode-blocks-threshold", note="the older name"),
    refused("--[no-]interactive", "-i", "DYN_INTERACTIVE", why=_NO_PROMPT, harmless=OFF),
    refused("--model-path", "DYN_MODEL_PATH", why=_NO_MODEL_FILES),
    refused("--[no-]kserve-grpc-server", "DYN_KSERVE_GRPC_SERVER", why=_NO_GRPC, harmless=OFF),
    refused("--grpc-metrics-port", "DYN_GRPC_METRICS_PORT", why=_NO_GRPC),
    refused("--frontend-route-extension", "DYN_FRONTEND_ROUTE_EXTENSIONS", why=_NO_ROUTES),
    refused("--[no-]enable-anthropic-api", "DYN_ENABLE_ANTHROPIC_API", why=_NO_ANTHROPIC, harmless=OFF),
    refused("--[no-]strip-anthropic-preamble", "DYN_STRIP_ANTHROPIC_PREAMBLE", why=_NO_ANTHROPIC),
    refused(
        "--[no-]enable-streaming-tool-dispatch", "DYN_ENABLE_STREAMING_TOOL_DISPATCH", why=NO_PARSING, harmless=OFF
    ),
    refused(
        "--[no-]enable-streaming-reasoning-dispatch",
        "DYN_ENABLE_STREAMING_REASONING_DISPATCH",
        why=NO_PARSING,
        harmless=OFF,
    ),
    refused("--reasoning-field-name", "DYN_REASONING_FIELD_NAME", why=NO_PARSING),
    refused("--dyn-chat-processor", "DYN_CHAT_PROCESSOR", why=_OWN_TEXT, harmless=("dynamo",)),
    refused("--[no-]dyn-debug-perf", "DYN_DEBUG_PERF", why=_NO_PROFILE, harmless=OFF),
    refused("--dyn-preprocess-workers", "DYN_PREPROCESS_WORKERS", why=_NO_PROCESS_POOL, harmless=("0",)),
    refused("--tokenizer", "DYN_TOKENIZER", why=_OWN_TEXT, harmless=("default",)),
    refused("--[no-]tokenizer-fallback", "DYN_TOKENIZER_FALLBACK", why=_OWN_TEXT, harmless=ON),
    refused("--[no-]trust-remote-code", "DYN_TRUST_REMOTE_CODE", why=_NO_FOREIGN_CODE, harmless=OFF),
    supported("--[no-]enforce-disagg", "DYN_ENFORCE_DISAGG"),
    refused("--router-min-initial-workers", "DYN_ROUTER_MIN_INITIAL_WORKERS", why=_NO_WAIT, harmless=("0",)),
    refused("--custom-backend-metrics-endpoint", why=_NO_POLLING),
    refused("--custom-backend-metrics-polling-interval", why=_NO_POLLING, harmless=("0",)),
    refused("--exp-python-factory", why=_NO_FACTORY),
    refused("DYN_HTTP_SVC_*", why=_FIXED_PATHS),
    refused("DYN_ENABLE_FORCE_INCLUDE_USAGE", why=_ASK_FOR_USAGE, harmless=OFF),
    refused("DYN_IGNORE_OPENAI_FE_UNSUPPORTED_FIELDS", why=_FIELDS_BY_KIND),
    refused("DYN_SGLANG_ENABLE_GENERATE", why=_NO_NATIVE_API, harmless=OFF),
    refused("DYN_VLLM_ENABLE_INFERENCE_V1_GENERATE", why=_NO_NATIVE_API, harmless=OFF),
    refused("DYN_AUDIT_*", why=_OTHER_TRACE),
    refused("DYN_SYSTEM_*", why=_SYSTEM_IS_FOR_WORKERS, harmless=("-1",)),
    refused("DYN_SELF_HOST_METADATA", why=_SYSTEM_IS_FOR_WORKERS, harmless=OFF),
    refused("DYN_HEALTH_CHECK_*", why=_CANARY_IS_FOR_WORKERS, harmless=OFF),
    refused("DYN_CANARY_WAIT_TIME", why=_CANARY_IS_FOR_WORKERS),
)
