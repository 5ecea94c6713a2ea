"""The process that brings the journal into the ledger's store: one for each gateway.

Beside the workers, so that it never slows a call. It ends when its parent does, however that ends,
and not before all that the parent's workers wrote is stored, if the store can be reached. Two of
them, as after a kill and a new start, take turns by a lock.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from headrace.config.exporting import AnyExport
from headrace.config.pricing import OwnPrice
from headrace.config.storing import Store
from headrace.data import private_files
from headrace.data.database import Database, DatabaseAway, DatabaseDamaged
from headrace.data.databases import database
from headrace.data.draining import (
    CAUGHT_UP,
    CHAIN,
    Drain,
    Turn,
    chain_name,
    remove_drained,
    sync_journal,
    unfinished,
    writer_lock,
)
from headrace.data.export.exporting import Export, start
from headrace.data.ledger import Ledger
from headrace.data.segments import DRAINED, segments
from headrace.errors import Setup
from headrace.gateway.bounds import Bounds
from headrace.gateway.own_prices import own_prices
from headrace.operate.ledger_faults import PAGE, remedy
from headrace.operate.sinks import sink_of
from headrace.platform.logs import log_to_stderr
from headrace.platform.secrets import Scrubber, Secret, Secrets

log = logging.getLogger("headrace.ledger")

LONGEST_BACKOFF_S = 5.0
SYNC_EVERY_S = 1.0
LAST_WORK_S = 10.0
"""How long it tries to store what is left when its parent is gone."""
LAST_PATIENCE_S = 3.0
"""The same, while the store is away."""
CLEAN_EVERY_S = 60.0
CAUGHT_UP_EVERY_S = 1.0


class WriterOrder(Struct, frozen=True):
    """What a writer is to do. It goes by standard input, for the URL is a secret."""

    folder: str
    store: Store
    url: str | None
    exports: dict[str, AnyExport]
    config_folder: str
    """Where the paths of files and secrets start."""
    log_level: str
    prices: dict[str, OwnPrice] = {}

    def __repr__(self) -> str:
        return f"WriterOrder({self.folder})"


encode_order = msgspec.json.Encoder().encode
decode_order = msgspec.json.Decoder(WriterOrder).decode


class Writer:
    """Drains until it is told to stop."""

    def __init__(self, order: WriterOrder, database: Database, stop: threading.Event) -> None:
        self._folder = Path(order.folder)
        self._store = order.store
        self._database = database
        self._stop = stop
        self._ledger = Ledger(database, chain_name(self._folder))
        self._drain = Drain(self._folder, self._ledger, bounds_of(order).of_intent)
        self._exports = exports_of(order, chain_name(self._folder))
        self._before = bool(segments(self._folder / DRAINED))
        """Files were drained before this writer began."""
        self._away_since: float | None = None
        self._synced = self._cleaned = self._caught_up = 0.0
        self._backoff_s = 0.0

    def run(self) -> None:
        """Returns after `stop` is set and nothing is left to store, or it cannot be stored."""
        with writer_lock(self._folder, lambda: not self._stop.is_set()) as mine:
            if not mine:
                return
            cursors = self._folder.glob("export-*.cursor")
            private_files.tighten((self._folder / CHAIN, self._folder / CAUGHT_UP, *cursors))
            start(self._exports, self._stop, self._store.drain_every_s)
            while not self._stop.is_set():
                if not self.turn():
                    self._stop.wait(max(self._store.drain_every_s, self._backoff_s))
            self._finish()
        self._database.close()

    def _finish(self) -> None:
        """Stores what is left. A database that is away is given less time than one that works."""
        began = time.monotonic()
        while True:
            more = self.turn()
            took_s = time.monotonic() - began
            if took_s > LAST_WORK_S or (self._away_since is not None and took_s > LAST_PATIENCE_S):
                return
            if not more:
                if self._away_since is None and not unfinished(self._folder):
                    return
                time.sleep(0.05)

    def turn(self) -> bool:
        """Stores what there is; whether there is more at once."""
        now = time.monotonic()
        try:
            done = self._drain.turn()
            if now - self._cleaned > CLEAN_EVERY_S:
                self._cleaned = now
                self._clean()
        except DatabaseAway as away:
            self._tell_away(away, now)
            return False
        if self._away_since is not None:
            away_s = now - self._away_since
            log.warning("the store is back", extra={"detail": f"it was away for {away_s:.1f} s"})
            self._away_since, self._backoff_s = None, 0.0
        if done.orphans:
            log.warning(
                "calls were cut off, settled at their bound",
                extra={"detail": f"{done.orphans} of a gateway that was killed"},
            )
        self._tell_lost(done)
        if done.more:
            self._sync_journal(now)
        elif now - self._caught_up > CAUGHT_UP_EVERY_S:
            self._caught_up = now
            with contextlib.suppress(OSError):
                (self._folder / CAUGHT_UP).touch(mode=private_files.MODE)
        return done.more

    def _tell_lost(self, done: Turn) -> None:
        if done.lost:
            text = (
                f"{done.lost}: a file of the journal was damaged, taken away or lost with the "
                "power. Their calls are in no row, or in one that was reckoned at its bound; "
                "`headrace ledger verify` tells of them"
            )
            log.error("records of the journal are missing", extra={"detail": text})
        if self._ledger.begun:
            self._ledger.begun = False
            if self._before:
                text = (
                    f"{self._folder / DRAINED} holds calls of an earlier one, which come back if "
                    f"its files are moved up into {self._folder}: see {PAGE}"
                )
                log.warning("the ledger begins anew", extra={"detail": text})

    def _clean(self) -> None:
        """Raises DatabaseAway."""
        self._ledger.close_days(time.time())
        keep_s = self._store.journal_keep_hours * 3600
        most = self._store.journal_limit_mib * 1024 * 1024
        remove_drained(self._folder, keep_s, most, time.time())

    def _tell_away(self, away: DatabaseAway, now: float) -> None:
        if self._away_since is None:
            self._away_since = now
            if isinstance(away, DatabaseDamaged):
                extra = {"cause": str(away), "detail": remedy(self._folder, self._store)}
                log.error("the ledger is damaged, the journal grows", extra=extra)
            else:
                log.error("the store is away, the journal grows", extra={"cause": str(away)})
        self._backoff_s = min(max(0.1, 2 * self._backoff_s), LONGEST_BACKOFF_S)
        self._sync_journal(now)

    def _sync_journal(self, now: float) -> None:
        """What the store has not taken yet, since it is away or this writer lags behind."""
        if now - self._synced > SYNC_EVERY_S:
            self._synced = now
            sync_journal(self._folder)


def bounds_of(order: WriterOrder) -> Bounds:
    """For calls that were cut off, by the prices that were written when it started."""
    return Bounds(own_prices(order.prices))


def exports_of(order: WriterOrder, chain: str) -> list[Export]:
    """Raises Setup if a secret cannot be read."""
    folder, base = Path(order.folder), Path(order.config_folder)
    url = None if order.url is None else Secret(order.url)
    secrets = Secrets(os.environ, base)
    return [
        Export(
            name,
            sink_of(export, base, secrets),
            database(folder, url, read_only=True),
            folder,
            chain,
        )
        for name, export in order.exports.items()
    ]


def recover(order: WriterOrder, within_s: float) -> None:
    """Stores what a gateway left that was killed, before the next one takes calls: sums of what is
    used are then right. Does nothing if nothing is left; gives up when its time is over or the
    store is away, for the writer will do the rest."""
    folder = Path(order.folder)
    if not unfinished(folder):
        return
    until = time.monotonic() + within_s
    with writer_lock(folder, lambda: time.monotonic() < until and unfinished(folder)) as mine:
        if not mine:
            return
        kept = database(folder, None if order.url is None else Secret(order.url))
        drain = Drain(folder, Ledger(kept, chain_name(folder)), bounds_of(order).of_intent)
        try:
            while time.monotonic() < until and unfinished(folder):
                drain.turn()
        except DatabaseAway:
            pass  # the writer tells of it
        finally:
            kept.close()


def main() -> None:
    order = decode_order(sys.stdin.buffer.readline())
    logs = log_to_stderr(order.log_level)
    url = None if order.url is None else Secret(order.url)
    logs.scrubber = Scrubber(() if url is None else (url,))
    # A terminal's Ctrl-C and a supervisor's SIGTERM reach all processes: the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stop = threading.Event()
    threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # rows make no cycles
    try:
        Writer(order, database(Path(order.folder), url), stop).run()
    except Setup as fault:
        print(fault, file=sys.stderr)
        sys.exit(3)
    except OSError as error:
        log.error("the ledger's folder cannot be used", extra={"cause": str(error)})
        sys.exit(1)


def _stop_with_parent(stop: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    stop.set()


if __name__ == "__main__":
    main()
