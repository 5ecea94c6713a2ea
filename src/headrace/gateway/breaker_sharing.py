"""What workers and replicas tell each other of backends, and whom they believe. Pure: no I/O.

A worker tells of each change that it made itself; what it hears it does not tell on. If its own
experience contradicts another's word twice (it was told that a backend is out, and its own probes
succeeded; or the other way round) it does not believe that one for a while: a replica that is cut
off from a provider must not take the provider from all the others.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from headrace.gateway.fleet import BackendState, Fleet
from headrace.gateway.health import Snapshot, State, Transition

DOUBT_S = 120.0
"""Two contradictions within this time make distrust: one may be an outage that has just ended."""
DISTRUST_S = 300.0
_BY_HAND_KEPT_S = 86_400.0
_KEPT_S = 3_600.0
_MARGIN_S = 60.0


class News(Struct, frozen=True, omit_defaults=True):
    """One backend's state, as one worker sees it."""

    sender: str
    backend: str
    snapshot: Snapshot
    kept_ms: int
    """For how long it is kept for newcomers: what is left of it tells them its age."""


class BreakerSharing:
    """One worker's part. `now` is monotonic seconds of this host."""

    def __init__(self, fleet: Fleet, sender: str) -> None:
        """`sender` must differ from that of every other worker."""
        self._fleet = fleet
        self._sender = sender
        self._untold: dict[str, None] = {}
        self._sources: dict[str, tuple[str, State, float]] = {}
        self._doubted: dict[tuple[str, str], float] = {}
        self._distrusted: dict[tuple[str, str], float] = {}
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(News).decode

    def changed(self, backend: BackendState, change: Transition, now: float) -> None:
        """This worker changed a breaker by what it saw, or a person did."""
        self._untold[backend.name] = None
        source = self._sources.get(backend.name)
        if source is None or change.before is change.after:
            return
        del self._sources[backend.name]
        sender, said, at = source
        if change.after is not said and now - at < DOUBT_S:
            self._doubt((sender, backend.name), now)

    def tell_all(self, now: float) -> None:
        """The others may know nothing: of each backend that is not as at the start."""
        for backend in self._fleet.all():
            if not backend.breaker.plain or backend.breaker.export(now).hand:
                self._untold[backend.name] = None

    def tell_isolated(self, now: float) -> None:
        """What a person took out must be kept for newcomers however long that was ago."""
        for backend in self._fleet.all():
            if backend.breaker.state(now) is State.ISOLATED:
                self._untold[backend.name] = None

    def news(self, now: float) -> list[tuple[News, bytes]]:
        """What is to be told, once, and its encoded form."""
        names, self._untold = self._untold, {}
        told: list[tuple[News, bytes]] = []
        for name in names:
            if name not in self._fleet:
                continue
            snapshot = self._fleet[name].breaker.export(now)
            kept_s = _BY_HAND_KEPT_S if snapshot.hand else _KEPT_S
            kept_s = max(kept_s, snapshot.open_s + _MARGIN_S, snapshot.paused_s + _MARGIN_S)
            news = News(self._sender, name, snapshot, int(kept_s * 1000))
            told.append((news, self._encode(news)))
        return told

    @property
    def behind(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self._untold)

    def untold(self, names: list[str]) -> None:
        """It could not be told: it is tried again."""
        self._untold.update(dict.fromkeys(names))

    def heard(
        self, text: bytes, now: float, left_ms: int | None = None
    ) -> tuple[BackendState, Transition] | None:
        """Takes over what another said, and returns what that changed here. `left_ms` is how long
        it will still be kept, for what was said before this worker listened. Raises ValueError for
        what is no news at all."""
        try:
            news = self._decode(text)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a breaker's state: {error}") from None
        if news.sender == self._sender or news.backend not in self._fleet:
            return None
        age_s = 0.0 if left_ms is None else max(0.0, (news.kept_ms - left_ms) / 1000)
        return self._adopt(news, news.snapshot.aged(age_s), now)

    def _adopt(
        self, news: News, remote: Snapshot, now: float
    ) -> tuple[BackendState, Transition] | None:
        backend = self._fleet[news.backend]
        breaker = backend.breaker
        believed = self._believes(news.sender, news.backend, now)
        before, paused = breaker.state(now), breaker.export(now).paused_s
        breaker.adopt(remote, now, believed=believed)
        after = breaker.state(now)
        if after is not before and after in (State.OPEN, State.CLOSED):
            self._sources[news.backend] = (news.sender, after, now)
        if remote.hand < breaker.export(now).hand:
            self._untold[news.backend] = None  # the other, or what is kept, is behind
        if after is before and (paused or not remote.paused_s):
            return None
        why = remote.why or remote.paused_why or "by hand"
        return backend, Transition(before, after, f"{why}, as another worker said")

    def _doubt(self, whom: tuple[str, str], now: float) -> None:
        self._doubted = {w: at for w, at in self._doubted.items() if now - at < DOUBT_S}
        if whom in self._doubted:
            self._distrusted[whom] = now + DISTRUST_S
        self._doubted[whom] = now

    def _believes(self, sender: str, backend: str, now: float) -> bool:
        until = self._distrusted.get((sender, backend))
        if until is None:
            return True
        if now < until <= now + DISTRUST_S:
            return False
        del self._distrusted[sender, backend]
        return True
