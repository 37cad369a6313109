"""Who serves what: the identity of an endpoint's instance and the card of the model it serves."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dynamo_cli.protocol.media import MediaKind, Scheme

DEFAULT_NAMESPACE = "dynamo"
INSTANCES_PREFIX = "v1/instances/"
MODELS_PREFIX = "v1/models/"

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
InputKind = Literal["tokens", "text"]
Role = Literal["aggregated", "prefill", "decode", "encode"]
HALVES: tuple[Role, ...] = ("prefill", "decode")
"""The roles of workers that hand KV over, or take it."""


class EndpointId(msgspec.Struct, frozen=True):
    """`namespace.component.endpoint`; parts are lower-case letters, digits, `-` and `_`."""

    namespace: str
    component: str
    endpoint: str

    def __str__(self) -> str:
        return f"{self.namespace}.{self.component}.{self.endpoint}"

    @property
    def path(self) -> str:
        return f"{self.namespace}/{self.component}/{self.endpoint}"


class Instance(msgspec.Struct, frozen=True, omit_defaults=True):
    """One process that serves an endpoint. `address` is a request-plane URL such as tcp://127.0.0.1:41234.

    `service` is the supervisor's name of the process (decode-0), empty when started by hand.
    """

    endpoint: EndpointId
    instance_id: int
    address: str
    pid: int = 0
    service: str = ""

    @property
    def hex_id(self) -> str:
        return f"{self.instance_id:x}"

    @property
    def key(self) -> str:
        return f"{INSTANCES_PREFIX}{self.endpoint.path}/{self.hex_id}"


class ModelIdentity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What must be equal in all workers of one model. `text_digest`: of the tokenizer and chat template files.

    `resumes`: with input "text", each delta with text is one token, and EngineRequest.generated of them are left out.
    `base`: of an adapter, the name of the model under it, and `adapter` the digest of its files. `embedding_size`: the
    numbers in a vector of a model that makes embeddings, 0 for one that generates.
    """

    text_digest: str = ""
    kv_block_size: Count = 0
    input: InputKind = "tokens"
    resumes: bool = False
    tool_call_parser: str = ""
    reasoning_parser: str = ""
    base: str = ""
    adapter: str = ""
    embedding_size: Count = 0


class ModelCard(msgspec.Struct, frozen=True, omit_defaults=True):
    """Published by each instance of a model beside its Instance, and for each of its adapters, which are models of
    their own. Counts are of tokens or KV blocks.

    `text_path`: the directory with tokenizer.json and chat_template.jinja (text/bundle.py), empty for input "text".
    `types`: the requests it takes, "chat" and "completions", or "embeddings". `logprobs`, `guided` (fields of
    GuidedDecoding), `dimensions` (shorter embeddings) and `modalities` (besides text): what the engine can do.
    `fetches`: from what kind of URL the worker gets media. `kv_events`: it tells on the event plane which blocks it
    holds. `prefix_caching`: it keeps what it has computed. `generation`: a worker of a higher one may differ in
    identity on purpose: see routing/identity.py. `data_parallel_size`: engines behind the instance, which chooses among
    them by itself. `bootstrap_host` and `bootstrap_port`: of a prefill worker whose decode workers must know beforehand
    where they meet it; port 0: they are told when it is done.
    """

    name: str
    identity: ModelIdentity
    instance: Instance
    role: Role = "aggregated"
    engine: str = ""
    context_length: Count = 0
    total_kv_blocks: Count = 0
    max_num_seqs: Count = 0
    max_num_batched_tokens: Count = 0
    text_path: str = ""
    types: tuple[str, ...] = ("chat", "completions")
    logprobs: bool = False
    guided: tuple[str, ...] = ()
    dimensions: bool = False
    modalities: tuple[MediaKind, ...] = ()
    fetches: tuple[Scheme, ...] = ()
    kv_events: bool = False
    prefix_caching: bool = True
    generation: int = 0
    bootstrap_host: str = ""
    bootstrap_port: Count = 0
    data_parallel_size: Count = 1

    @property
    def key(self) -> str:
        key = f"{MODELS_PREFIX}{self.instance.endpoint.path}/{self.instance.hex_id}"
        return f"{key}/{self.name}" if self.identity.base else key
