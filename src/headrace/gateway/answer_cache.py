"""Answers given before, for equal calls: here the last resort before the friendly message.

The seam for other caches is `AnswerCache`; the twin in this file keeps exact matches in memory.
An entry belongs to one tenant, whose answers are kept apart from all others', and is found by the
SHA-256 of what decides the answer (`gateway/canonical.py`). The key does not name the form: an
answer that came whole can be given as a stream and the other way round where
`gateway/answer_forms.py` can tell how.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import NamedTuple, Protocol

from headrace.config.sharing import AnswerCachePolicy
from headrace.gateway import answer_forms, canonical
from headrace.gateway.recorded import Recorded
from headrace.nouns import Call, Operation

CACHE = "cache"
"""In `x-headrace-answered-by`."""


_UNREPEATABLE = ("tools", "functions", "store", "web_search_options", "mcp_servers")


class CacheKey(NamedTuple):
    """Under what an answer is kept."""

    tenant: str
    digest: bytes
    operation: Operation


class AnswerCache(Protocol):
    """Answers by key. `now` is monotonic seconds."""

    async def get(self, key: CacheKey, now: float) -> Recorded | None: ...

    async def put(self, key: CacheKey, recorded: Recorded, now: float) -> bool:
        """False if the answer is not one to keep."""
        ...

    def purge(self, tenant: str | None) -> int:
        """Drops all of a tenant's answers, or all; returns how many they were."""
        ...


def key_of(call: Call, scope: str = "") -> CacheKey | None:
    """None for a call whose answer is not to be given again: one that offers tools or holds their
    results, since what they did or saw has changed, that searches the web, or that the provider
    shall store. `scope` is what else the answer hangs on."""
    read = canonical.of_call(call)
    if read is None or not repeatable(read.members):
        return None
    digest = canonical.digest(call, read, scope)
    return CacheKey(call.caller.tenant, digest, call.operation)


def repeatable(members: dict[str, object]) -> bool:
    if any(members.get(name) for name in _UNREPEATABLE):
        return False
    messages = members.get("messages") or members.get("input")
    if not isinstance(messages, list):
        return True
    return not any(
        isinstance(m, dict)
        and (m.get("role") in ("tool", "function") or m.get("tool_calls") or _of_tools(m))
        for m in messages
    )


def _of_tools(item: dict[str, object]) -> bool:
    """An item of the Responses API that a tool has made or is called by."""
    kind = item.get("type")
    return isinstance(kind, str) and kind.rpartition("_")[2] in ("call", "output")


def worth_keeping(recorded: Recorded, operation: Operation, bounds: AnswerCachePolicy) -> bool:
    """A backend's own answer to its proper end, which leaves room for others."""
    if recorded.size_bytes > min(bounds.answer_bytes, bounds.most_bytes):
        return False
    return not recorded.stands_in and answer_forms.stopped(recorded, operation)


async def answer_for(
    cache: AnswerCache, key: CacheKey | None, call: Call, now: float
) -> Recorded | None:
    """The kept answer in the form that this call wants."""
    recorded = None if key is None else await cache.get(key, now)
    return None if recorded is None else answer_forms.as_asked(recorded, call)


class _Entry(NamedTuple):
    recorded: Recorded
    until: float
    size_bytes: int


class MemoryAnswers:
    """An `AnswerCache` in memory, bounded in number and bytes: the answer not used for longest
    goes first, of whichever tenant."""

    def __init__(self, policy: AnswerCachePolicy, rng: random.Random | None = None) -> None:
        self._policy = policy
        self._rng = rng or random.Random()
        self._tenants: dict[str, dict[CacheKey, _Entry]] = {}
        self._order: OrderedDict[CacheKey, None] = OrderedDict()
        """Of all tenants, least lately used first."""
        self.kept_bytes = 0

    def __len__(self) -> int:
        return len(self._order)

    async def get(self, key: CacheKey, now: float) -> Recorded | None:
        entry = self._tenants.get(key.tenant, {}).get(key)
        if entry is None:
            return None
        if now >= entry.until:
            self._drop(key)
            return None
        self._order.move_to_end(key)
        return entry.recorded

    async def put(self, key: CacheKey, recorded: Recorded, now: float) -> bool:
        policy = self._policy
        if not worth_keeping(recorded, key.operation, policy):
            return False
        size = recorded.size_bytes
        if key in self._order:
            self._drop(key)
        jitter = 1 + policy.keep_jitter * self._rng.uniform(-1, 1)
        entry = _Entry(recorded, now + policy.keep_s * jitter, size)
        self._tenants.setdefault(key.tenant, {})[key] = entry
        self._order[key] = None
        self.kept_bytes += size
        while len(self._order) > policy.most_answers or self.kept_bytes > policy.most_bytes:
            self._drop(next(iter(self._order)))
        return True

    def purge(self, tenant: str | None) -> int:
        """Drops all of a tenant's answers, or all; returns how many they were."""
        keys = list(self._order if tenant is None else self._tenants.get(tenant, ()))
        for key in keys:
            self._drop(key)
        return len(keys)

    def _drop(self, key: CacheKey) -> None:
        del self._order[key]
        entries = self._tenants[key.tenant]
        self.kept_bytes -= entries.pop(key).size_bytes
        if not entries:
            del self._tenants[key.tenant]
