"""All backends and what is known of their health: made once, survives every new configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random

from headrace.config.policies import (
    BalancePolicy,
    BreakerPolicy,
    ConcurrencyPolicy,
    RetryBudgetPolicy,
    RetryPolicy,
)
from headrace.gateway.balance import FEW_CALLS, Balancer, better
from headrace.gateway.breaker import Breaker
from headrace.gateway.budget import Budget
from headrace.gateway.concurrency import Limit
from headrace.gateway.health import Transition
from headrace.gateway.load import Load


class BackendState:
    """One backend's health and load."""

    __slots__ = ("breaker", "budget", "limit", "load", "misconfigured", "name")

    def __init__(
        self,
        name: str,
        rng: Random,
        breaker: BreakerPolicy,
        concurrency: ConcurrencyPolicy,
        retries: RetryBudgetPolicy,
    ) -> None:
        self.name = name
        self.breaker = Breaker(breaker, rng)
        self.budget = Budget(retries)
        self.limit = Limit(concurrency)
        self.load = Load()
        self.misconfigured = 0
        """Attempts that were answered with: there is no such model."""

    def share(self, now: float) -> float:
        return self.breaker.share(now)

    def failure_share(self, now: float) -> float:
        return self.breaker.failure_share(now)

    def failing(self, now: float) -> float:
        return self.breaker.failure_share(now, FEW_CALLS)

    def admits(self) -> bool:
        return self.load.running < self.limit.ceiling

    def has_room(self, now: float) -> bool:
        """Like `admits`, but what the limit learnt long ago is forgotten first: a backend that was
        not needed meanwhile had no success that would have done so."""
        if self.admits():
            return True
        self.limit.forget(now)
        return self.admits()


Changed = Callable[[BackendState, Transition], None]


def _nobody(backend: BackendState, change: Transition) -> None:
    """Nobody wants to hear of changes."""


class Fleet:
    """Backends by name, and the gateway's own retry budget.

    `changed` is called at once with each change of a breaker, to log it, to alert, to share it.
    """

    def __init__(
        self, rng: Random, retries: RetryBudgetPolicy | None = None, changed: Changed = _nobody
    ) -> None:
        self.rng = rng
        self.budget = Budget(retries or RetryBudgetPolicy())
        self.changed = changed
        self._backends: dict[str, BackendState] = {}

    def all(self) -> list[BackendState]:
        """Every backend, in the order of the configuration."""
        return list(self._backends.values())

    def __getitem__(self, name: str) -> BackendState:
        return self._backends[name]

    def __contains__(self, name: str) -> bool:
        return name in self._backends

    def enlist(
        self,
        name: str,
        *,
        breaker: BreakerPolicy | None = None,
        concurrency: ConcurrencyPolicy | None = None,
        retries: RetryBudgetPolicy | None = None,
    ) -> BackendState:
        """The backend of that name with these settings; what is known of it is kept."""
        breaker = breaker or BreakerPolicy()
        concurrency = concurrency or ConcurrencyPolicy()
        retries = retries or RetryBudgetPolicy()
        backend = self._backends.get(name)
        if backend is None:
            backend = BackendState(name, self.rng, breaker, concurrency, retries)
            self._backends[name] = backend
        else:
            backend.breaker.use(breaker)
            backend.limit.use(concurrency)
            backend.budget.policy = retries
        return backend

    def retain(self, names: Collection[str]) -> None:
        """Forgets the backends that are no longer configured. Calls that run on them end well."""
        self._backends = {n: b for n, b in self._backends.items() if n in names}


class Tier:
    """Backends that are as good as each other."""

    __slots__ = ("backends", "balancer")

    def __init__(self, backends: Sequence[BackendState], policy: BalancePolicy) -> None:
        self.backends = tuple(backends)
        self.balancer = Balancer(policy)

    def glance(self, now: float, rng: Random, stream: bool) -> BackendState | None:
        """The usual choice in few steps, None if anything has to be considered about a backend: by
        `p2c` of two by chance the better, by another method whichever it is, if all are well."""
        backends = self.backends
        count = len(backends)
        one = backends[0]
        if count > 1:
            if not self.balancer.by_load:
                for backend in backends:
                    if not backend.breaker.plain or not backend.admits():
                        return None
                return self.balancer.choose(backends, now, rng, stream=stream)
            first = int(rng.random() * count)
            second = int(rng.random() * (count - 1))
            one, other = backends[first], backends[second + (second >= first)]
            if not other.breaker.plain or not other.admits() or not one.breaker.plain:
                return None
            one = better(one, other, now, rng, stream)
        return one if one.breaker.plain and one.admits() else None


class Route:
    """How a model's calls are answered: tiers of backends, and the settings.

    `windows` are the declared context windows in tokens by backend. `wider` are backends that are
    asked only when a conversation is too long for the tiers'.
    """

    __slots__ = ("_balance", "_fleet", "retry", "tiers", "wider", "windows")

    def __init__(
        self,
        fleet: Fleet,
        tiers: Sequence[Sequence[str]],
        *,
        retry: RetryPolicy | None = None,
        balance: BalancePolicy | None = None,
        windows: Mapping[str, int] | None = None,
        wider: Sequence[str] = (),
    ) -> None:
        balance = balance or BalancePolicy()
        self._fleet, self._balance = fleet, balance
        self.tiers = tuple(Tier([fleet[name] for name in tier], balance) for tier in tiers)
        self.wider = Tier([fleet[name] for name in wider], balance)
        self.retry = retry or RetryPolicy()
        self.windows = dict(windows or {})

    def only(self, names: Collection[str]) -> Route | None:
        """The same with these backends alone; None if no tier has any of them."""
        tiers = [[b.name for b in tier.backends if b.name in names] for tier in self.tiers]
        tiers = [tier for tier in tiers if tier]
        if not tiers:
            return None
        return Route(
            self._fleet,
            tiers,
            retry=self.retry,
            balance=self._balance,
            windows={name: size for name, size in self.windows.items() if name in names},
            wider=[b.name for b in self.wider.backends if b.name in names],
        )

    def free_in_s(self, now: float) -> float | None:
        """Seconds until the first backend may be asked, at least 1; None if only a person knows."""
        soonest = None
        for tier in self.tiers:
            for backend in tier.backends:
                availability = backend.breaker.available(now)
                until = now if availability.ok else availability.until
                if until is not None and (soonest is None or until < soonest):
                    soonest = until
        return None if soonest is None else max(1.0, soonest - now)
