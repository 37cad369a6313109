"""The models a frontend can answer for: their text side, their dispatcher, their counts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dynamo_cli.errors import ModelMissing, NotReady
from dynamo_cli.frontend.metrics.buckets import DEFAULT_BUCKETS, Buckets
from dynamo_cli.frontend.metrics.counts import ModelCounts
from dynamo_cli.protocol.instance import ModelCard, ModelIdentity
from dynamo_cli.routing.asking import RouterService
from dynamo_cli.routing.dispatch import Dispatcher
from dynamo_cli.routing.kv_feed import KvFeed
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.migration import MigrationOptions
from dynamo_cli.routing.modes import Disagg, adapter_dispatcher, is_of_adapter, make_dispatcher
from dynamo_cli.routing.placing import Placer
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.routing.remote_prefill import RemotePrefill
from dynamo_cli.routing.shared_sequences import SharedSequences
from dynamo_cli.routing.thresholds import Thresholds
from dynamo_cli.runtime.heap import give_back

if TYPE_CHECKING:
    from dynamo_cli.text.bundle import TextBundle

_HEADLESS = "it has prefill workers, and none that decodes"
log = logging.getLogger(__name__)
_MAKES = {"chat": "/v1/chat/completions", "completions": "/v1/completions", "embeddings": "/v1/embeddings"}
"""Where each kind of request goes."""


class ServedModel:
    """`bundle` is None for workers that take text. `created` is in seconds since the epoch."""

    def __init__(
        self, routed: RoutedModel, bundle: TextBundle | None, dispatcher: Dispatcher, counts: ModelCounts
    ) -> None:
        self.name = routed.name
        self.identity = routed.identity
        self.routed = routed
        self.bundle = bundle
        self.dispatcher = dispatcher
        self.counts = counts
        self.created = int(time.time())

    @property
    def context_length(self) -> int:
        """In tokens; 0 is unknown."""
        return self.routed.context_length or (self.bundle.context_length if self.bundle else 0)

    def uncounted(self) -> ServedModel:
        """The same model, for a request that counts nowhere."""
        model = copy(self)
        model.counts = ModelCounts()
        return model

    @property
    def listed(self) -> bool:
        return bool(self.routed.cards)

    def serves(self, kind: str) -> bool:
        """Whether a worker declares this kind of request ("chat", "completions", "embeddings")."""
        return any(kind in card.types for card in self.routed.cards.values())

    def why_not(self, kind: str) -> str:
        """Of a kind that it does not serve."""
        made = sorted({_MAKES[one] for card in self.routed.cards.values() for one in card.types if one in _MAKES})
        return f"model {self.name} does not serve {kind}; use {' or '.join(made)}"


class _Loading(NamedTuple):
    """`identity`: what is being loaded; another worker with the same one begins nothing anew."""

    task: asyncio.Task[None]
    identity: ModelIdentity


class Models:
    """Follows the registry's changes: `changed` is its on_change."""

    def __init__(
        self,
        router_mode: str,
        migration: MigrationOptions,
        buckets: Buckets = DEFAULT_BUCKETS,
        thresholds: Thresholds | None = None,
        kv: KvRoutingOptions | None = None,
        feed: KvFeed | None = None,
        shared: SharedSequences | None = None,
        service: RouterService | None = None,
        disagg: Disagg | None = None,
    ) -> None:
        self.counts: dict[str, ModelCounts] = {}
        self._migration = migration
        self._buckets = buckets
        self._thresholds = thresholds
        self._mode = router_mode
        self._kv = kv
        self._feed = feed
        self._shared = shared
        self.service = service
        self._disagg = disagg
        self._served: dict[str, ServedModel] = {}
        self._dispatchers: dict[str, Dispatcher] = {}
        self._loading: dict[str, _Loading] = {}
        self._unusable: dict[str, str] = {}
        self._prepared: dict[str, tuple[ModelIdentity, TextBundle | None]] = {}

    def __iter__(self) -> Iterator[ServedModel]:
        """Those that have a worker."""
        return (model for model in self._served.values() if model.listed)

    def __contains__(self, name: str) -> bool:
        return name in self._served

    @property
    def dispatchers(self) -> list[Dispatcher]:
        """Of all models that were ever served."""
        return list(self._dispatchers.values())

    def placers(self) -> list[Placer]:
        """Of those that answer requests, and of those that prefill for them, as far as there are any."""
        pools = [dispatcher.placer for dispatcher in self._dispatchers.values()]
        return pools + [remote.dispatcher.placer for remote in self.remotes() if remote.model.cards]

    def remotes(self) -> list[RemotePrefill]:
        """The prefill workers of each model, dormant as long as it has none."""
        return [dispatcher.remote for dispatcher in self._dispatchers.values() if dispatcher.remote is not None]

    def get(self, name: str) -> ServedModel:
        """Raises ModelMissing, which lists what is served, or NotReady. A model without workers is still known."""
        model = self._served.get(name)
        if model is None:
            if name in self._unusable:
                raise NotReady(f"model {name} cannot be served: {self._unusable[name]}")
            if name in self._loading:
                raise NotReady(f"model {name} is being loaded; try again soon")
            names = ", ".join(model.name for model in self)
            raise ModelMissing(
                f"model {name!r} is not served here; " + (f"served: {names}" if names else "no model is")
            )
        return model

    def counts_of(self, name: str) -> ModelCounts:
        if name not in self.counts:
            self.counts[name] = ModelCounts(self._buckets)
        return self.counts[name]

    def changed(self, routed: RoutedModel) -> None:
        """Load the text side of a new model, or of one that came back with another identity."""
        dispatcher = self._dispatchers.get(routed.name)
        if dispatcher is not None:
            dispatcher.placer.workers_changed()
            if dispatcher.remote is not None:
                dispatcher.remote.dispatcher.placer.workers_changed()
        self._note_headless(routed)
        served = self._served.get(routed.name)
        if routed.identity is None or (served is not None and served.identity == routed.identity):
            return
        loading = self._loading.get(routed.name)
        identity, bundle = self._prepared.get(routed.name, (None, None))
        if identity == routed.identity:
            if loading is not None:
                loading.task.cancel()
            self._serve(routed, bundle)
            return
        if served is not None:
            del self._served[routed.name]
        if loading is not None:
            if loading.identity == routed.identity and not loading.task.done():
                return
            loading.task.cancel()
        self._loading[routed.name] = _Loading(asyncio.create_task(self._load(routed)), routed.identity)

    def _note_headless(self, routed: RoutedModel) -> None:
        """Say why a model with nobody who answers is not served."""
        if routed.cards or routed.prefill is None or not routed.prefill.cards:
            if self._unusable.get(routed.name) == _HEADLESS:
                del self._unusable[routed.name]
        elif routed.name not in self._served:
            self._unusable[routed.name] = _HEADLESS

    async def prepare(self, name: str, card: ModelCard) -> None:
        """Load the text side of the identity that comes next, so that the model is served all the while.

        Raises what is wrong with its files.
        """
        self._prepared[name] = card.identity, await _bundle(card.identity, card.text_path)

    async def loaded(self, timeout_s: float) -> None:
        """Until all that is being loaded can be served or has failed, or time is up."""
        tasks = [loading.task for loading in self._loading.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def close(self) -> None:
        tasks = [loading.task for loading in self._loading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _load(self, routed: RoutedModel) -> None:
        path = next((card.text_path for card in routed.cards.values() if card.text_path), "")
        self._unusable.pop(routed.name, None)
        try:
            bundle = await _bundle(routed.identity, path)
        except Exception as error:
            self._unusable[routed.name] = f"its text files in {path or '(no directory)'}: {error}"
            log.error("model %s cannot be served: %s", routed.name, self._unusable[routed.name])
            return
        del self._loading[routed.name]
        self._serve(routed, bundle)

    def _serve(self, routed: RoutedModel, bundle: TextBundle | None) -> None:
        if bundle is not None:
            self.counts_of(routed.name).caches.append(bundle.tokenizer.cache_counts)
        self._served[routed.name] = ServedModel(routed, bundle, self._dispatcher(routed), self.counts_of(routed.name))
        log.info("model %s is served by %d worker(s)", routed.name, len(routed.cards))

    def _dispatcher(self, routed: RoutedModel) -> Dispatcher:
        dispatcher = self._dispatchers.get(routed.name)
        if dispatcher is None or (routed.base is not None) != is_of_adapter(dispatcher):
            if routed.base is not None:
                base = self._dispatcher(routed.base)
                dispatcher = adapter_dispatcher(routed, base, self._migration, self._thresholds, self._disagg)
            else:
                routing = self._thresholds, self._kv, self._feed, self._shared, self.service, self._disagg
                dispatcher = make_dispatcher(routed, self._mode, self._migration, *routing)
            self._dispatchers[routed.name] = dispatcher
        return dispatcher


async def _bundle(identity: ModelIdentity | None, path: str) -> TextBundle | None:
    if identity is None or identity.input == "text":
        return None
    return await asyncio.get_running_loop().run_in_executor(None, _load_bundle, Path(path))


def _load_bundle(path: Path) -> TextBundle:
    from dynamo_cli.text.bundle import load_bundle

    bundle = load_bundle(path)
    give_back()
    return bundle
