"""What one worker shares with others by Redis: started and stopped with it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets as chance
import time
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.config.schema import Redis
from headrace.config.sharing import AnswerCachePolicy
from headrace.data.redis_link import RedisAddress, RedisAway, RedisLink
from headrace.gateway.breaker_exchange import BreakerExchange
from headrace.gateway.fleet import BackendState, Changed, Fleet
from headrace.gateway.health import Transition
from headrace.gateway.limits.shared import SharedCounters
from headrace.platform.secrets import Secrets

if TYPE_CHECKING:
    from headrace.gateway.cache.redis_feedback import RedisFeedback
    from headrace.gateway.cache.redis_shelf import RedisShelf


class SharedByRedis:
    """Of the backends' states no call waits for anything; of its limits it does."""

    def __init__(
        self,
        settings: Redis,
        answers: AnswerCachePolicy,
        folder: Path,
        secrets: Secrets,
        fleet: Fleet,
    ) -> None:
        """`folder` is where a relative path starts. Raises Setup."""
        self._settings = settings
        self._secrets = secrets
        self._password()  # one that cannot be read is told of now
        ca = None if settings.ca is None else folder / Path(settings.ca).expanduser()
        address = RedisAddress.of(settings.url, ca, settings.timeout_s)
        self._link = RedisLink(address, self._credentials, random.Random())
        self.counters = SharedCounters(self._link, settings.prefix, chance.token_hex(8))
        """Of limits and budgets."""
        self.answers: RedisShelf | None = None
        """Of the cache, if they are shared."""
        self.feedback: RedisFeedback | None = None
        """On them."""
        if answers.shared_by == "redis":
            from headrace.gateway.cache.redis_feedback import RedisFeedback
            from headrace.gateway.cache.redis_shelf import RedisShelf

            self.answers = RedisShelf(self._link, settings.prefix, answers.most_answers)
            self.feedback = RedisFeedback(self._link, settings.prefix)
        self._breakers: BreakerExchange | None = None
        self._tasks: list[asyncio.Task[None]] = []
        if settings.share_breakers:
            self._breakers = BreakerExchange(
                self._link, fleet, settings.prefix, chance.token_hex(8), fleet.changed
            )
            fleet.changed = _both(fleet.changed, self._breakers.changed)

    @property
    def up(self) -> bool:
        """Whether the server answers."""
        return self._link.up

    async def start(self) -> None:
        """Returns when it is known whether the server answers: the first call, too, should find
        what others have kept and counted."""
        self._tasks = [
            asyncio.create_task(self._link.run(), name="redis"),
            asyncio.create_task(self.counters.run(), name="counters by redis"),
        ]
        if self.answers is not None:
            self._tasks.append(asyncio.create_task(self.answers.run(), name="answers by redis"))
        if self.feedback is not None:
            self._tasks.append(asyncio.create_task(self.feedback.run(), name="feedback by redis"))
        if self._breakers is not None:
            self._tasks.append(asyncio.create_task(self._breakers.run(), name="breakers by redis"))
        await self._link.tried()

    async def catch_up(self) -> None:
        """Reads what is known of backends that a reload may have brought."""
        if self._breakers is not None:
            with contextlib.suppress(RedisAway):
                await self._breakers.read()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _credentials(self) -> tuple[str | None, str | None]:
        return self._settings.username, self._password()

    def _password(self) -> str | None:
        reference = self._settings.password
        if reference is None:
            return None
        return self._secrets.get(reference, time.monotonic()).reveal()


def _both(one: Changed, other: Changed) -> Changed:
    def changed(backend: BackendState, change: Transition) -> None:
        one(backend, change)
        other(backend, change)

    return changed
