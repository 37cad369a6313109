"""GET and POST /conditional_disagg: when decode workers compute prompts themselves, told and changed while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import asdict, replace

from dynamo_cli.disagg.conditional import ConditionalDisagg, ConditionalPolicy
from dynamo_cli.errors import InvalidRequest
from dynamo_cli.frontend.models import Models
from dynamo_cli.protocol.decode import decode_body
from dynamo_cli.routing.live_settings import LiveSettings, SharedSettings
from dynamo_cli.runtime.http.exchange import Exchange

if TYPE_CHECKING:
    from dynamo_cli.runtime.runtime import DistributedRuntime

PATH = "/conditional_disagg"
PREFIX = "v1/conditional_disagg/"
Setting = ConditionalDisagg | None


class ConditionalChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST: what is left out stays as it is. `enabled` false: every prompt goes to a prefill worker."""

    model: str
    enabled: bool | UnsetType = UNSET
    policy: ConditionalPolicy | UnsetType = UNSET
    eff_isl_threshold: Annotated[int, Meta(ge=0, le=2**53)] | UnsetType = UNSET
    eff_isl_ratio_threshold: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    prefill_busy_threshold: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    decode_busy_threshold: Annotated[float, Meta(ge=0, le=1)] | UnsetType | None = UNSET
    prefill_answers_after_s: Annotated[float, Meta(ge=0)] | UnsetType | None = UNSET

    def applied_to(self, setting: Setting) -> Setting:
        """Raises InvalidRequest for details of what is off."""
        names = ConditionalDisagg.__struct_fields__
        given = {name: value for name in names if (value := getattr(self, name)) is not UNSET}
        enabled = setting is not None if self.enabled is UNSET else self.enabled
        if not enabled:
            if given:
                raise InvalidRequest('conditional disaggregation is off; add "enabled": true', "enabled")
            return None
        return replace(setting or ConditionalDisagg(), **given)


def shared_conditional(runtime: DistributedRuntime, configured: Setting) -> SharedSettings[Setting]:
    settings = LiveSettings(configured)
    return SharedSettings(runtime, settings, PREFIX, ConditionalDisagg | None, "settings of conditional disaggregation")


class ConditionalDisaggRoutes:
    """The handlers. A change reaches all frontends of the deployment. `enforced`: there is nothing to change."""

    def __init__(self, models: Models, shared: SharedSettings[Setting], enforced: bool) -> None:
        self._models = models
        self._shared = shared
        self._enforced = enforced

    def list_all(self, exchange: Exchange) -> None:
        settings = self._shared.settings
        exchange.send_json({"models": [_described(model.name, settings.of(model.name)) for model in self._models]})

    def change(self, exchange: Exchange) -> None:
        """Answers what counts then. Raises InvalidRequest, ModelMissing and NotReady."""
        change = decode_body(exchange.request.body, _body)
        model = self._models.get(change.model).name
        before = self._shared.settings.of(model)
        after = change.applied_to(before)
        if after is not None and self._enforced:
            raise InvalidRequest("every prompt has to be prefilled remotely here: --enforce-disagg", "enabled")
        exchange.send_json(_described(model, before if after == before else self._shared.put(model, after)))


_body = msgspec.json.Decoder(ConditionalChange)


def _described(model: str, setting: Setting) -> dict[str, Any]:
    return {"model": model, "enabled": setting is not None, **asdict(setting or ConditionalDisagg())}
