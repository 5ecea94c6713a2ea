"""What goes wrong in a simulated hour, and how many call in it. Drawn from the hour's seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from simulation.promises import RARE_PROBES_S, RECOVERY_S, End
from simulation.provider import COSTLY, Ill

if TYPE_CHECKING:
    from simulation.hour import Hour

PACE_S = 300.0
"""How long the rate of calls stays as it is."""
RATES = (0.15, 0.3, 0.6, 1.2)
"""Calls a second, usually."""
RUSH = 6.0
"""Calls a second, in a rush."""
RUSH_S = 60.0


class Weather:
    """Plans the hour's mishaps at its start; each is an event of the hour's clock."""

    def __init__(self, hour: Hour) -> None:
        self._hour = hour
        self._rng = hour.rng
        self._start = hour.clock.now
        self._rushes: list[float] = []
        self.mishaps: list[tuple[float, str]] = []
        for _ in range(hour.rng.randint(6, 12)):
            at = 60.0 + 3300.0 * hour.rng.random()
            self._at(at, hour.rng.choice(self._KINDS))

    def arrivals(self, start: float, end: float) -> Iterator[float]:
        """Poisson arrivals; the rate changes every few minutes and in rushes."""
        rng = self._rng
        self._rushes += [start + 3500.0 * rng.random()]
        rates = [rng.choice(RATES) for _ in range(int((end - start) / PACE_S) + 1)]
        at = start
        while True:
            rate = rates[int((at - start) / PACE_S)]
            for since in self._rushes:
                if since <= at < since + RUSH_S:
                    rate = RUSH
            at += rng.expovariate(rate)
            if at >= end:
                return
            yield at

    def clears_up(self) -> None:
        """The end of the hour: what runs may end, nothing more begins."""
        hour = self._hour
        hour.disk_full = False
        hour.lags(0.0)
        if hour.gateway is None:
            hour.restart()

    # --- mishaps

    def _one_region(self) -> None:
        self._sickens(self._rng.choice("ABC"), self._rng.choice(tuple(Ill)), self._span())

    def _two_regions(self) -> None:
        ills = tuple(Ill)
        for name in self._rng.sample("ABC", 2):
            self._sickens(name, self._rng.choice(ills), self._span())

    def _everything(self) -> None:
        """Often in a rush: then the storm would be worst."""
        rng, span = self._rng, 30.0 + 60.0 * self._rng.random()
        ill = rng.choice((Ill.DEAD, Ill.DEAD, Ill.CUT_OFF, Ill.LYING, Ill.LIMITED, Ill.FLAKY))
        if rng.random() < 0.6:
            self._rushes.append(self._hour.clock.now)
        for name in "ABC":
            self._sickens(name, ill, span)

    def _swizzle(self) -> None:
        """Regions are cut off one by one and come back in another order."""
        rng = self._rng
        ends = rng.sample((50.0, 70.0, 90.0), 3)
        for at, (name, end) in zip((0.0, 12.0, 24.0), zip("ABC", ends, strict=True), strict=True):
            ill = rng.choice((Ill.CUT_OFF, Ill.DEAD))
            self._hour.clock.after(at, partial(self._sickens, name, ill, end - at))

    def _flapping(self) -> None:
        """Dies and comes back, again and again."""
        name, at = self._rng.choice("ABC"), 0.0
        for _ in range(6):
            up_s, down_s = 2.0 + 15.0 * self._rng.random(), 1.0 + 9.0 * self._rng.random()
            self._hour.clock.after(at, partial(self._sickens, name, Ill.DEAD, down_s))
            at += up_s + down_s

    def _disk(self) -> None:
        self._says("disk full")
        self._hour.disk_full = True
        self._hour.clock.after(5.0 + 25.0 * self._rng.random(), self._disk_has_room)

    def _disk_has_room(self) -> None:
        self._hour.disk_full = False

    def _kill(self) -> None:
        self._stops("killed", End.KILLED)

    def _deploy(self) -> None:
        self._stops("restarted", End.DRAINED)

    def _reload(self) -> None:
        self._says("reload")
        if self._hour.gateway is not None:
            self._hour.gateway.reload()

    def _busy(self) -> None:
        """The gateway's own loop is late, more or less."""
        self._says("busy")
        hour, rng = self._hour, self._rng
        for at in range(10):
            hour.clock.after(float(at), partial(hour.lags, rng.choice((0.02, 0.08, 0.3))))
        hour.clock.after(10.0, partial(hour.lags, 0.0))

    # --- how

    _KINDS = (
        _one_region, _one_region, _one_region, _two_regions, _everything, _swizzle, _flapping,
        _disk, _kill, _deploy, _reload, _busy,
    )  # fmt: skip

    def _at(self, seconds: float, what: Callable[[Weather], None]) -> None:
        self._hour.clock.after(seconds, partial(what, self))

    def _span(self) -> float:
        return 5.0 + 115.0 * self._rng.random() ** 2

    def _says(self, word: str) -> None:
        self.mishaps.append((round(self._hour.clock.now - self._start, 3), word))
        self._hour.note(4, 0, word)

    def _sickens(self, name: str, ill: Ill, span_s: float) -> None:
        hour = self._hour
        self._says(f"{name} {ill.value} for {span_s:.0f} s")
        hour.regions[name].falls_ill(ill)
        if ill is Ill.DEAD:
            for call in tuple(hour.running[name]):
                call.reset()
        elif ill is Ill.CUT_OFF:
            for call in tuple(hour.running[name]):
                call.fall_silent()
        hour.look_for_darkness()
        hour.clock.after(span_s, partial(self._recovers, name, ill))

    def _recovers(self, name: str, ill: Ill) -> None:
        hour = self._hour
        wait_s = RARE_PROBES_S if ill in COSTLY else 0.0
        hour.regions[name].recovers(ill, hour.clock.now, RECOVERY_S + wait_s)
        hour.look_for_darkness()

    def _stops(self, word: str, end: End) -> None:
        self._says(word)
        self._hour.stop(end)
        self._hour.clock.after(0.5 + 2.0 * self._rng.random(), self._starts)

    def _starts(self) -> None:
        if self._hour.gateway is None:
            self._hour.restart()
