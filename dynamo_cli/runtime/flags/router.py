"""Options of the reference's router, which its frontend and its router process share."""

from __future__ import annotations

from dynamo_cli.runtime.flags.flag import OFF, ON, Flag, Reason, alias, refused, supported

_ALWAYS_SHARED = Reason("blocks that requests have in common always count once", "leave it out")
_ALWAYS_PREFILL = Reason("prompt tokens that are still to be computed always count", "leave it out")
_NO_SESSIONS = Reason("sessions have no index of their own", "leave it out")
_NO_QUEUE = Reason(
    "the router keeps no queue",
    "use --active-decode-blocks-threshold and the like to refuse while all workers are busy",
)
_NO_POLICY_FILE = Reason("there is no file of router policies", "use --router-mode")
_NO_INDEXER = Reason("there is no process with an index of cached blocks", "leave it out")
_OF_THE_PROCESS = Reason("it is an option of the router process", "give it to dynamo router")
_OF_FRONTENDS = Reason("frontends send prompts to prefill workers", "give it to dynamo frontend")
_NO_SHARED_CACHE = Reason("workers share no cache", "leave it out")
_NO_MODEL_OF_TIME = Reason("the time of a prefill is not predicted", "leave it out")
_ONE_POLICY = Reason("prefill and decode workers are chosen by one cost", "use --router-kv-policy")
_ONE_THREAD = Reason("a router has one thread", "start more frontends on the same port: replicas in [frontend]")
_OTHER_LOAD_AWARE = Reason("it is a router mode here", "use --router-mode least-loaded")
_NO_STREAM = Reason("there is no NATS JetStream that keeps the router's state", "leave it out")
_NO_KEYED_HASHES = Reason("hashes of prompts have no key", "leave it out: they stay within the deployment")
_NO_DEVICES = Reason("there is no router mode device-aware-weighted", "use --router-mode least-loaded")

_OF_REFERENCE = "of --router-kv-policy reference"

OF_FRONTENDS: tuple[Flag, ...] = (
    supported("--router-mode", "DYN_ROUTER_MODE", note="round-robin, random, power-of-two, least-loaded, kv, direct"),
    supported("--[no-]router-conditional-disagg", "DYN_ROUTER_CONDITIONAL_DISAGG"),
    supported(
        "--router-conditional-disagg-config",
        "DYN_ROUTER_CONDITIONAL_DISAGG_CONFIG",
        note="JSON; needs --router-conditional-disagg",
    ),
    refused("--endpoint", why=_OF_THE_PROCESS),
    refused("--router-block-size", "--block-size", why=_OF_THE_PROCESS),
)
OF_THE_PROCESS: tuple[Flag, ...] = (
    refused("--[no-]router-conditional-disagg", "DYN_ROUTER_CONDITIONAL_DISAGG", why=_OF_FRONTENDS, harmless=OFF),
    refused("--router-conditional-disagg-config", "DYN_ROUTER_CONDITIONAL_DISAGG_CONFIG", why=_OF_FRONTENDS),
    supported("--endpoint", "DYN_ROUTER_ENDPOINT", note="of the workers; without it those of all the namespace"),
    alias(
        "--router-block-size",
        "--block-size",
        "DYN_ROUTER_BLOCK_SIZE",
        of="--kv-cache-block-size",
        note="of workers that do not tell",
    ),
)
ROUTER: tuple[Flag, ...] = (
    supported("--kv-cache-block-size", "DYN_KV_CACHE_BLOCK_SIZE"),
    supported("--router-kv-overlap-score-credit", "DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT"),
    alias(
        "--router-kv-overlap-score-weight",
        "DYN_ROUTER_KV_OVERLAP_SCORE_WEIGHT",
        of="--router-kv-overlap-score-credit",
        note="the older name",
    ),
    alias(
        "--kv-overlap-score-weight",
        "DYN_KV_OVERLAP_SCORE_WEIGHT",
        of="--router-kv-overlap-score-credit",
        note="the older name",
    ),
    supported(
        "--router-kv-overlap-score-credit-decay",
        "DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT_DECAY",
        note=_OF_REFERENCE,
    ),
    supported("--router-prefill-load-scale", "DYN_ROUTER_PREFILL_LOAD_SCALE", note=_OF_REFERENCE),
    supported(
        "--router-decode-active-request-weight",
        "DYN_ROUTER_DECODE_ACTIVE_REQUEST_WEIGHT",
        note=_OF_REFERENCE,
    ),
    supported("--router-host-cache-hit-weight", "DYN_ROUTER_HOST_CACHE_HIT_WEIGHT"),
    supported("--router-disk-cache-hit-weight", "DYN_ROUTER_DISK_CACHE_HIT_WEIGHT"),
    supported("--router-temperature", "DYN_ROUTER_TEMPERATURE"),
    supported("--[no-]router-kv-events", "DYN_ROUTER_USE_KV_EVENTS"),
    alias("--[no-]kv-events", of="--router-kv-events", note="the older name"),
    refused("DYN_KV_EVENTS", why=Reason("it is called DYN_ROUTER_USE_KV_EVENTS", "set that")),
    supported("--[no-]router-track-active-blocks", "DYN_ROUTER_TRACK_ACTIVE_BLOCKS"),
    alias("--[no-]track-active-blocks", of="--router-track-active-blocks", note="the older name"),
    supported("--[no-]router-track-output-blocks", "DYN_ROUTER_TRACK_OUTPUT_BLOCKS"),
    alias("--[no-]track-output-blocks", of="--router-track-output-blocks", note="the older name"),
    refused("--[no-]router-assume-kv-reuse", "DYN_ROUTER_ASSUME_KV_REUSE", why=_ALWAYS_SHARED, harmless=ON),
    refused("--[no-]assume-kv-reuse", why=_ALWAYS_SHARED, harmless=ON),
    refused("--[no-]router-track-prefill-tokens", "DYN_ROUTER_TRACK_PREFILL_TOKENS", why=_ALWAYS_PREFILL, harmless=ON),
    supported("--router-ttl-secs", "DYN_ROUTER_TTL_SECS"),
    refused("--router-ttl", "DYN_ROUTER_TTL", why=Reason("it is called --router-ttl-secs", "use that")),
    supported("--router-max-tree-size", "DYN_ROUTER_MAX_TREE_SIZE"),
    supported("--router-prune-target-ratio", "DYN_ROUTER_PRUNE_TARGET_RATIO"),
    supported("--router-predicted-ttl-secs", "DYN_ROUTER_PREDICTED_TTL_SECS"),
    supported("--router-approximate-cache-policy", "DYN_ROUTER_APPROXIMATE_CACHE_POLICY", note="ttl, lru"),
    supported("--router-session-affinity-ttl-secs", "DYN_ROUTER_SESSION_AFFINITY_TTL_SECS"),
    supported("--router-session-affinity-mode", "DYN_ROUTER_SESSION_AFFINITY_MODE"),
    refused("--[no-]enable-session-prefix-index", "DYN_ENABLE_SESSION_PREFIX_INDEX", why=_NO_SESSIONS, harmless=OFF),
    supported("--[no-]router-replica-sync", "DYN_ROUTER_REPLICA_SYNC", note="on unless switched off"),
    refused("--[no-]load-aware", "DYN_ROUTER_LOAD_AWARE", why=_OTHER_LOAD_AWARE, harmless=OFF),
    refused("--router-queue-threshold", "DYN_ROUTER_QUEUE_THRESHOLD", why=_NO_QUEUE),
    refused("--router-queue-policy", "DYN_ROUTER_QUEUE_POLICY", why=_NO_QUEUE),
    refused("DYN_ROUTER_OVERLAP_REFRESH_AFTER_SECS", why=_NO_QUEUE),
    refused("--router-policy-config", "DYN_ROUTER_POLICY_CONFIG", why=_NO_POLICY_FILE),
    refused("--router-event-threads", "DYN_ROUTER_EVENT_THREADS", why=_ONE_THREAD, harmless=("1",)),
    refused(
        "--router-tracking-hash",
        "DYN_ROUTER_TRACKING_HASH",
        why=_NO_KEYED_HASHES,
        harmless=("public-xxh3-v1",),
        strict=True,
    ),
    refused("--router-tracking-key-file", "DYN_ROUTER_TRACKING_KEY_FILE", why=_NO_KEYED_HASHES, strict=True),
    refused("--router-tracking-key-id", "DYN_ROUTER_TRACKING_KEY_ID", why=_NO_KEYED_HASHES, strict=True),
    refused("--router-prefill-load-model", "DYN_ROUTER_PREFILL_LOAD_MODEL", why=_NO_MODEL_OF_TIME, harmless=("none",)),
    refused("--router-prefill-policy", "DYN_ROUTER_PREFILL_POLICY", why=_ONE_POLICY),
    refused("--router-decode-policy", "DYN_ROUTER_DECODE_POLICY", why=_ONE_POLICY),
    refused("--[no-]use-remote-indexer", "DYN_USE_REMOTE_INDEXER", why=_NO_INDEXER, harmless=OFF),
    refused("--[no-]serve-indexer", "DYN_SERVE_INDEXER", why=_NO_INDEXER, harmless=OFF),
    refused("--shared-cache-multiplier", "DYN_SHARED_CACHE_MULTIPLIER", why=_NO_SHARED_CACHE),
    refused("--shared-cache-type", "DYN_SHARED_CACHE_TYPE", why=_NO_SHARED_CACHE, harmless=("none",)),
    refused("--[no-]router-durable-kv-events", "DYN_ROUTER_DURABLE_KV_EVENTS", why=_NO_STREAM, harmless=OFF),
    refused("--[no-]durable-kv-events", why=_NO_STREAM, harmless=OFF),
    refused("--router-snapshot-threshold", "DYN_ROUTER_SNAPSHOT_THRESHOLD", why=_NO_STREAM),
    refused("--[no-]router-reset-states", "DYN_ROUTER_RESET_STATES", why=_NO_STREAM, harmless=OFF),
    refused("DYN_ENCODER_CUDA_TO_CPU_RATIO", why=_NO_DEVICES),
    refused("--ais-perf-config", why=_NO_MODEL_OF_TIME),
    *(
        refused(f"--ais-{name}", f"--aic-{name}", why=_NO_MODEL_OF_TIME)
        for name in (
            *("backend", "system", "backend-version", "tp-size", "model-path", "moe-tp-size", "moe-ep-size"),
            *("attention-dp-size", "nextn", "nextn-accept-rates", "mtp-seed"),
        )
    ),
)
