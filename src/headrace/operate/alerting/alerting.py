"""Watches a gateway that runs, in a thread of the process that started it."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Mapping, Sequence

from headrace.config.alerting import Alerts
from headrace.config.loading import Loaded
from headrace.edge.gathering import Gatherer
from headrace.errors import Setup
from headrace.gateway.telemetry.alert_board import AlertBoard, AlertLine, write_board
from headrace.gateway.telemetry.history import History
from headrace.operate.alerting.delivery import Courier, NotDelivered
from headrace.operate.alerting.messages import sentence, title
from headrace.operate.alerting.rules import Reading, Side, readings
from headrace.operate.alerting.states import Change, Notice, Watch
from headrace.platform.secrets import Secrets

log = logging.getLogger("headrace.alerts")

EVERY_S = 15.0
"""From one look to the next, at most."""
LEAST_EVERY_S = 1.0
KEPT_EVERY_S = 60.0
TRIES = 3


class Alerting:
    """Started and stopped with the gateway."""

    def __init__(self, loaded: Loaded, environ: Mapping[str, str]) -> None:
        self._alerts = loaded.config.alerts
        secrets = Secrets(environ, loaded.folder)
        self._courier = Courier(socket.gethostname(), self._alerts.runbook_url, secrets)
        self._folder = loaded.store_folder
        self._gatherer = Gatherer(self._folder)
        self._history = History(self._alerts.long_window_s, KEPT_EVERY_S)
        self._watch = Watch(self._alerts.remind_s)
        self._every_s = look_every_s(self._alerts)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Idempotent. What is being told is left to itself."""
        self._stop.set()

    def look(self, now: float) -> list[Notice]:
        """What has changed since the last look. `now` is monotonic seconds. Raises OSError,
        ValueError if a worker does not answer as it should."""
        gathered = self._gatherer.gather()
        seen = list(readings(gathered, self._history, self._alerts, now))
        notices = self._watch.take(seen, now)
        self._post(seen, now)
        self._history.take(gathered.counted, now)
        return notices

    def _post(self, seen: Sequence[Reading], now: float) -> None:
        """For the admin API and the console."""
        try:
            write_board(
                self._folder, board(seen, self._watch, now, time.time(), [*self._alerts.notify])
            )
        except OSError as error:
            log.warning("alerts: the store's folder cannot be written", extra={"cause": str(error)})

    def _run(self) -> None:
        self._post((), time.monotonic())
        while not self._stop.wait(self._every_s):
            try:
                notices = self.look(time.monotonic())
            except (OSError, ValueError) as error:
                log.warning("alerts: the workers did not answer", extra={"cause": str(error)})
                continue
            for notice in notices:
                self._tell(notice)

    def _tell(self, notice: Notice) -> None:
        level = logging.INFO if notice.change is Change.ENDS else logging.ERROR
        log.log(level, title(notice), extra={"detail": sentence(notice)})
        for name, to in self._alerts.notify.items():
            for number in range(TRIES):
                try:
                    self._courier.deliver(to, notice)
                    break
                except (NotDelivered, Setup) as error:
                    if number + 1 == TRIES:
                        cause = str(error)
                        log.error("alert not delivered to %s", name, extra={"cause": cause})
                    elif self._stop.wait(2.0**number):
                        return


def look_every_s(alerts: Alerts) -> float:
    """Twice within the shortest time that something must last, so that it is told when that is
    over and not up to two looks later. In seconds."""
    shortest_s = min(alerts.breaker_open_s, alerts.redis_away_s, alerts.ledger_behind_s)
    return max(LEAST_EVERY_S, min(EVERY_S, shortest_s / 2))


def board(
    seen: Sequence[Reading], watch: Watch, now: float, unix_s: float, told: list[str]
) -> AlertBoard:
    """What the last look saw, and the alerts of which it heard nothing. Pure: `now` is monotonic
    seconds, `unix_s` the same instant."""
    lines = []
    read = {(reading.rule.name, reading.subject) for reading in seen}
    unread = [one for one in watch.firing() if (one.rule.name, one.subject) not in read]
    for reading in (*unread, *seen):
        since = watch.since(reading)
        lines.append(
            AlertLine(
                rule=reading.rule.name,
                severity=reading.rule.severity,
                about=reading.rule.about,
                do=reading.rule.do,
                subject=reading.subject,
                value=reading.value,
                in_long=reading.in_long,
                threshold=reading.threshold,
                below=reading.side is Side.BELOW,
                since_unix_s=None if since is None else unix_s - (now - since),
            )
        )
    return AlertBoard(at_unix_s=unix_s, lines=lines, told=told)
