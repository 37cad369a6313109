"""When workers count as busy: as configured, until somebody changes it for a model in all frontends at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamo_cli.protocol.load import NO_THRESHOLDS, THRESHOLDS_PREFIX, BusyThresholds, ThresholdChange
from dynamo_cli.router.busy import judges
from dynamo_cli.routing.live_settings import LiveSettings, ModelSetting, SharedSettings

if TYPE_CHECKING:
    from dynamo_cli.runtime.runtime import DistributedRuntime


class Thresholds(LiveSettings[BusyThresholds]):
    def __init__(self, configured: BusyThresholds = NO_THRESHOLDS) -> None:
        super().__init__(configured)

    def judge(self, model: str) -> bool:
        """Whether any worker of the model can be busy at all."""
        return judges(self.of(model))

    def change(self, change: ThresholdChange, by: int) -> ModelSetting[BusyThresholds]:
        return self.put(change.model, change.applied_to(self.of(change.model)), by)


class SharedThresholds(SharedSettings[BusyThresholds]):
    def __init__(self, runtime: DistributedRuntime, thresholds: Thresholds) -> None:
        super().__init__(runtime, thresholds, THRESHOLDS_PREFIX, BusyThresholds, "busy thresholds")
        self.thresholds = thresholds

    def change(self, change: ThresholdChange) -> BusyThresholds:
        """Here at once, and with the others as soon as they hear of it."""
        return self.put(change.model, change.applied_to(self.thresholds.of(change.model)))
