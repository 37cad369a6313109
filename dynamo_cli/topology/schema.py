"""What a topology file may say, and its JSON schema."""

from __future__ import annotations

from dynamo_cli.disagg.conditional import CONDITIONAL_POLICIES
from dynamo_cli.router.affinity import AFFINITY_MODES, LONGEST_TTL_S, SHORTEST_TTL_S
from dynamo_cli.router.policies import KV_POLICIES, MODES
from dynamo_cli.runtime.http.cors import origin_problem
from dynamo_cli.topology.fields import (
    Anything,
    Flag,
    Kind,
    ListOf,
    MapOf,
    OneOf,
    Schema,
    Seconds,
    Share,
    Table,
    Text,
    Whole,
)
from dynamo_cli.topology.kinds import Bytes, Command, DependsOn, Gpus, LivenessKind, Probe, Restart
from dynamo_cli.topology.names import (
    host_problem,
    name_problem,
    namespace_problem,
    pool_problem,
    port_problem,
    service_problem,
    variable_problem,
)
from dynamo_cli.topology.parts import Conditional, Frontend, Pool, Router, Runtime, ServicePart, Topology

MOST_REPLICAS = 1000
MOST_MIGRATIONS = 1000
DRAFT = "https://json-schema.org/draft/2020-12/schema"

MANAGED: dict[str, Kind] = {
    "env": MapOf(Text(empty=True), variable_problem),
    "cwd": Text(),
    "depends_on": DependsOn(),
    "restart": Restart(),
    "liveness": LivenessKind(),
    "memory_limit": Bytes(),
    "stop_timeout_s": Seconds(),
    "ready_timeout_s": Seconds(),
}
MANAGED_DOCS = {
    "env": "environment variables",
    "cwd": "working directory, relative to this file",
    "depends_on": 'names that must be ready first, or a table of conditions: started, ready, exited, { log = "regex" }',
    "restart": "no, on-failure or always, or a table",
    "liveness": "how a process that hangs is found: true, false, or a table",
    "memory_limit": 'bytes it and its descendants may hold, such as "8GiB"; more is a failure',
    "stop_timeout_s": "seconds after TERM until KILL",
    "ready_timeout_s": "seconds in which it must become ready; those that its engine may take, or 600",
}
FRONTEND = Table(
    Frontend,
    {
        "host": Text(host_problem),
        "port": Whole(0, 65535),
        "replicas": Whole(1, MOST_REPLICAS),
        "migration_limit": Whole(0, MOST_MIGRATIONS),
        "tls_cert_path": Text(),
        "tls_key_path": Text(),
        "tls_client_ca_cert_path": Text(),
        "api_keys_file": Text(),
        "cors_allow_origins": ListOf(Text(origin_problem), "origins"),
        "request_trace": Text(),
    },
    docs={
        "host": "the address it listens on",
        "port": "0 takes a free one",
        "replicas": "frontend processes that share the port",
        "migration_limit": "how often a request may move from a lost worker to another; 0 is never",
        "tls_cert_path": "certificate chain (PEM, relative to this file): the port speaks https",
        "tls_key_path": "its private key (PEM)",
        "tls_client_ca_cert_path": "clients need a certificate signed by one of these (PEM)",
        "api_keys_file": "API keys, one a line: every request but /health, /live and /metrics needs one",
        "request_trace": "write a record of each request to files that begin so; a directory if it ends with /",
        "cors_allow_origins": 'web pages that may ask, such as "https://example.com", or "*"',
    },
)
CONDITIONAL = Table(
    Conditional,
    {
        "policy": OneOf(CONDITIONAL_POLICIES, "policy"),
        "eff_isl_threshold": Whole(0, 2**53),
        "eff_isl_ratio_threshold": Share(most=1000),
        "prefill_busy_threshold": Share(most=1000),
        "decode_busy_threshold": Share(),
        "prefill_answers_after_s": Seconds(),
    },
    docs={
        "policy": "by length (isl_bounding), by the queues of prefill workers (prefill_load), or either (isl_or_load)",
        "eff_isl_threshold": "fewer tokens than these to be computed are few",
        "eff_isl_ratio_threshold": "so is less than this share of the prompt; both must be; above 1: any share",
        "prefill_busy_threshold": "a prefill worker with so many steps of it before it is busy",
        "prefill_answers_after_s": "prefill workers that nobody needed for so long answer short prompts meanwhile",
        "decode_busy_threshold": "a decode worker with more of its KV blocks in use computes no prompts",
    },
)
ROUTER = Table(
    Router,
    {
        "mode": OneOf(MODES, "router mode"),
        "replicas": Whole(0, MOST_REPLICAS),
        "active_decode_blocks_threshold": Share(),
        "active_prefill_tokens_threshold": Whole(0, 2**53),
        "active_prefill_tokens_threshold_frac": Share(most=1000),
        "policy": OneOf(KV_POLICIES, "policy"),
        "overlap_score_credit": Share(most=1000),
        "temperature": Share(most=1000),
        "kv_events": Flag(),
        "ttl_s": Seconds(),
        "max_tree_size": Whole(1, 2**53),
        "prune_target_ratio": Share(),
        "predicted_ttl_s": Seconds(),
        "track_active_blocks": Flag(),
        "track_output_blocks": Flag(),
        "replica_sync": Flag(),
        "session_affinity_ttl_s": Whole(SHORTEST_TTL_S, LONGEST_TTL_S),
        "session_affinity_mode": OneOf(AFFINITY_MODES, "session affinity"),
        "enforce_disagg": Flag(),
        "conditional_disagg": CONDITIONAL,
    },
    later=("options",),
    docs={
        "mode": "how a worker is chosen for a request",
        "replicas": "mode kv: router processes that all frontends ask; with 0 they choose by themselves",
        "active_decode_blocks_threshold": "a worker with a larger share of its KV blocks in use is busy",
        "active_prefill_tokens_threshold": "a worker with more prompt tokens still to be prefilled is busy",
        "active_prefill_tokens_threshold_frac": "the same, as a multiple of its max_num_batched_tokens",
        "policy": "mode kv: its cost, ours (kv), the reference's, or the fewest tokens queued",
        "overlap_score_credit": "mode kv: blocks saved for each block found at a worker; 0 looks at load alone",
        "temperature": "mode kv: 0 is always the cheapest worker; more: dearer ones too, by softmax",
        "kv_events": "mode kv: believe what workers tell of their caches (true), or guess",
        "ttl_s": "mode kv: seconds a routed prompt is thought to stay in a cache that sends no events",
        "max_tree_size": "mode kv: blocks thought to be in such caches at most",
        "prune_target_ratio": "mode kv: beyond that they are cut to this share of it",
        "predicted_ttl_s": "mode kv: seconds a routed prompt counts as present before events tell of it",
        "track_active_blocks": "mode kv: weigh blocks in use by requests in flight",
        "track_output_blocks": "mode kv: weigh the blocks of their answers too",
        "replica_sync": "mode kv: frontends tell each other what they route; on unless false",
        "session_affinity_ttl_s": "mode kv: seconds an idle session (X-Dynamo-Session-ID) is kept at its worker",
        "session_affinity_mode": "mode kv: hard, or soft: unless waiting there is longer",
        "enforce_disagg": "refuse requests while no prefill worker can take them; else decode workers do it all",
        "conditional_disagg": "when a decode worker computes a prompt itself although there are prefill workers",
    },
)
RUNTIME = Table(
    Runtime,
    {"namespace": Text(namespace_problem)},
    later=("discovery", "request_plane", "event_plane", "namespace_prefix"),
    docs={"namespace": "the first part of every endpoint's name"},
)
POOL = Table(
    Pool,
    {
        "engine": Text(),
        "model": Text(),
        "role": OneOf(("aggregated", "prefill", "decode"), "role", later=("encode",)),
        "replicas": Whole(0, MOST_REPLICAS),
        "gpus": Gpus(),
        "gpu_memory": Bytes(),
        "tensor_parallel": Whole(1, 1024),
        "args": ListOf(Text(empty=True), "texts"),
        "options": Anything(),
        "adapters": MapOf(Text()),
        **MANAGED,
    },
    later=("kv_offload", "hosts"),
    docs={
        "engine": "auto, llamacpp, mock, echo or custom",
        "model": "instead of the topology's: a Hugging Face name or a path",
        "role": "aggregated, or one half of it: prefill computes prompts, decode the rest of the answer",
        "replicas": "identical workers: NAME-0, NAME-1, ...",
        "gpus": 'per worker: "auto", a number, a list of ids, "mig-PROFILE", or 0',
        "gpu_memory": "bytes that must be free on each of its GPUs",
        "tensor_parallel": "GPUs that share one model",
        "args": "arguments handed to the engine as they are",
        "options": "the engine's own options",
        "adapters": "LoRA weights that each worker serves as models: directories by name",
        **MANAGED_DOCS,
    },
)
SERVICE = Table(
    ServicePart,
    {"command": Command(), "ports": ListOf(Text(port_problem), "names"), "probe": Probe(), **MANAGED},
    docs={
        "command": "a list of texts, or one text split as a shell does; {port:NAME} stands for a port",
        "ports": "names of free ports it gets, as {port:NAME} and DYN_PORT_NAME",
        "probe": "how it shows that it is ready: one of http, tcp, exec, log; default: it runs",
        **MANAGED_DOCS,
    },
)
TOPOLOGY = Table(
    Topology,
    {
        "name": Text(name_problem),
        "model": Text(),
        "frontend": FRONTEND,
        "router": ROUTER,
        "runtime": RUNTIME,
        "workers": MapOf(POOL, pool_problem),
        "services": MapOf(SERVICE, service_problem),
    },
    later=("planner", "hosts", "supervisor"),
    docs={
        "name": "the deployment's name; default: that of the file",
        "model": "a Hugging Face name, or a path to a directory or a .gguf file",
        "frontend": "the OpenAI-compatible HTTP server",
        "router": "how requests are spread over workers",
        "runtime": "names and planes that all processes share",
        "workers": "pools of identical workers, by name",
        "services": "other processes, by name",
    },
)


def json_schema() -> Schema:
    """Of a topology file, for editors. What needs more than one value to be judged is judged by `dynamo plan`."""
    schema = TOPOLOGY.schema()
    extends = {"description": "files this one builds on, relative to it: tables are merged, everything else replaced"}
    one_or_more = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    schema["properties"] = {"extends": {**extends, **one_or_more}, **schema["properties"]}
    return {"$schema": DRAFT, "title": "dynamo topology", **schema}


def key_homes() -> dict[str, str]:
    """The full path of each key name that stands at one place only."""
    homes: dict[str, list[str]] = {}
    tables = {
        "": TOPOLOGY,
        "frontend.": FRONTEND,
        "router.": ROUTER,
        "router.conditional_disagg.": CONDITIONAL,
        "runtime.": RUNTIME,
        "workers.NAME.": POOL,
        "services.NAME.": SERVICE,
    }
    for prefix, table in tables.items():
        for key in table.fields:
            homes.setdefault(key, []).append(prefix + key)
    return {key: places[0] for key, places in homes.items() if len(places) == 1}
