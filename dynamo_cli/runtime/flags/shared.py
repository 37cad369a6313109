"""Options of the reference that its frontend and its workers have in common."""

from __future__ import annotations

from dynamo_cli.runtime.flags.flag import OFF, ON, Flag, Reason, refused, supported

_NO_NATS = Reason("there is no NATS here", "leave it out: requests and events travel over TCP")
_NO_ETCD = Reason(
    "there is no etcd here", "leave it out: processes find each other through files (--discovery-backend file)"
)
_NO_PLANE_TLS = Reason(
    "connections between frontends and workers are not encrypted",
    "keep them on loopback or on a network you trust, and use --tls-cert-path for the public port",
)
_ONE_HOST = Reason("both planes listen on one address", "set DYN_TCP_RPC_HOST")
_ONE_CONNECTION = Reason("an answer comes back on the connection of its request", "leave it out")
_ONE_PLANE = Reason("the request plane has no such setting", "leave it out")
_NO_DUMP = Reason("a component does not write down its settings", "use dynamo plan to see what runs with what")
_OTHER_GRACE = Reason(
    "a worker leaves discovery at once when it stops", "set DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT for running requests"
)
_NO_LOG_FILE = Reason("logs are set up by variables alone", "use DYN_LOG, such as info,dynamo.routing=debug")
_NO_SPAN_EVENTS = Reason("spans are not written to the log", "set OTEL_EXPORT_ENABLED=1 to send them to OpenTelemetry")
_TEMPLATE_TOOLS = Reason("tools of a request with tool_choice none never reach the template", "leave it out")

SHARED: tuple[Flag, ...] = (
    supported("--version"),
    supported("--namespace", "DYN_NAMESPACE"),
    supported(
        "--discovery-backend",
        "--store-kv",
        "DYN_DISCOVERY_BACKEND",
        "DYN_STORE_KV",
        note="file or mem; etcd and kubernetes are an error. --store-kv is the older name",
    ),
    supported("--request-plane", "DYN_REQUEST_PLANE", note="tcp; nats and http are an error"),
    supported("DYN_FILE_KV", note="where the files of discovery are"),
    supported("DYN_TCP_RPC_HOST", note="where the request plane listens"),
    supported("DYN_LOG"),
    supported("DYN_LOGGING_JSONL"),
    supported("DYN_LOG_USE_LOCAL_TZ"),
    supported("OTEL_EXPORT_ENABLED"),
    supported("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    supported("OTEL_SERVICE_NAME"),
    refused("--response-plane", "DYN_RESPONSE_PLANE", why=_ONE_CONNECTION, harmless=("tcp",), strict=True),
    supported("--event-plane", "DYN_EVENT_PLANE", note="tcp or mem; zmq and nats are an error"),
    refused("DYN_EVENT_PLANE_HOST", why=_ONE_HOST),
    refused("--tcp-tls-cert-path", "DYN_TCP_TLS_CERT_PATH", why=_NO_PLANE_TLS, strict=True),
    refused("--tcp-tls-key-path", "DYN_TCP_TLS_KEY_PATH", why=_NO_PLANE_TLS, strict=True),
    refused("--tcp-tls-ca-cert-path", "DYN_TCP_TLS_CA_CERT_PATH", why=_NO_PLANE_TLS, strict=True),
    refused("--tcp-tls-client-cert-path", "DYN_TCP_TLS_CLIENT_CERT_PATH", why=_NO_PLANE_TLS, strict=True),
    refused("--tcp-tls-client-key-path", "DYN_TCP_TLS_CLIENT_KEY_PATH", why=_NO_PLANE_TLS, strict=True),
    refused("--tcp-tls-client-ca-cert-path", "DYN_TCP_TLS_CLIENT_CA_CERT_PATH", why=_NO_PLANE_TLS, strict=True),
    refused("--tcp-tls-server-name", "DYN_TCP_TLS_SERVER_NAME", why=_NO_PLANE_TLS, strict=True),
    refused("--[no-]tcp-tls-insecure", "DYN_TCP_TLS_INSECURE", why=_NO_PLANE_TLS, harmless=OFF),
    refused("--tcp-tls-handshake-timeout", "DYN_TCP_TLS_HANDSHAKE_TIMEOUT_SECS", why=_NO_PLANE_TLS),
    refused("--nats-tls-ca-cert-path", "NATS_TLS_CA_CERT_PATH", why=_NO_NATS),
    refused("--[no-]nats-tls-insecure", "NATS_TLS_INSECURE", why=_NO_NATS, harmless=OFF),
    refused("--nats-tls-client-cert-path", "NATS_TLS_CLIENT_CERT_PATH", why=_NO_NATS),
    refused("--nats-tls-client-key-path", "NATS_TLS_CLIENT_KEY_PATH", why=_NO_NATS),
    refused("NATS_*", why=_NO_NATS),
    refused("ETCD_*", why=_NO_ETCD),
    refused("DYN_TCP_RESPONSE_STREAM_HOST", why=_ONE_CONNECTION),
    refused("DYN_TCP_RESPONSE_STREAM_PORT", why=_ONE_CONNECTION),
    refused(
        "DYN_TCP_RPC_PORT", why=Reason("a worker listens on a free port that it tells by discovery", "leave it out")
    ),
    refused("DYN_TCP_MAX_MESSAGE_SIZE", why=_ONE_PLANE),
    refused("DYN_TCP_POOL_SIZE", why=_ONE_PLANE),
    refused("DYN_TCP_REQUEST_TIMEOUT", why=_ONE_PLANE),
    refused("DYN_HTTP_RPC_*", why=_ONE_PLANE),
    refused("DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS", why=_OTHER_GRACE),
    refused("DYN_LOGGING_CONFIG_PATH", why=_NO_LOG_FILE),
    refused("DYN_LOGGING_SPAN_EVENTS", why=_NO_SPAN_EVENTS, harmless=OFF),
    refused("--dump-config-to", "DYN_DUMP_CONFIG_TO", why=_NO_DUMP),
    refused(
        "--[no-]exclude-tools-when-tool-choice-none",
        "DYN_EXCLUDE_TOOLS_WHEN_TOOL_CHOICE_NONE",
        why=_TEMPLATE_TOOLS,
        harmless=ON,
    ),
)
