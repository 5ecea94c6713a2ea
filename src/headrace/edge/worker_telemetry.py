"""What one worker measures: made with it, told to whoever asks its control socket."""

from __future__ import annotations

import os
import time

from headrace.config.schema import Config
from headrace.gateway.limits.gate import Gate
from headrace.gateway.parts import Parts
from headrace.gateway.telemetry.meters import Meters
from headrace.gateway.telemetry.moment import moment
from headrace.gateway.telemetry.observer import Observer
from headrace.gateway.telemetry.snapshot import Snapshot


class WorkerTelemetry:
    """Nothing of it is there where the configuration wants none."""

    def __init__(self, config: Config, parts: Parts) -> None:
        self._parts = parts
        self._worker = f"{os.getpid()}-{time.time_ns():x}"
        self.meters = Meters(config.telemetry.tenant_labels) if measures(config) else None
        if self.meters is not None:
            parts.observer = Observer(self.meters)

    def take_up(self, config: Config) -> None:
        """Another configuration is in force."""
        if self.meters is not None:
            self.meters.models = frozenset(config.models)

    def snapshot(self, gate: Gate | None) -> Snapshot | None:
        """None if nothing is counted."""
        if self.meters is None:
            return None
        now = moment(self._parts, gate, time.monotonic(), time.time())
        return Snapshot(self._worker, self.meters.counted(), now)


def measures(config: Config) -> bool:
    """Whether calls are counted."""
    wanted = config.telemetry.metrics
    return config.admin is not None if wanted is None else wanted
