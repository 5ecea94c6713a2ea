"""Numbers of one section that contradict each other."""

from __future__ import annotations

from msgspec import Struct

from headrace.config.backends import Timeouts
from headrace.config.caching import CachePolicy
from headrace.config.located import Located
from headrace.config.policies import RetryPolicy
from headrace.config.problems import KeyPath
from headrace.config.schema import Config, Model

_RETRY = (("backoff_s", "backoff_cap_s"), ("connect_backoff_s", "backoff_cap_s"))
_RESILIENCE: dict[str, tuple[tuple[str, str], ...]] = {
    "breaker": (
        ("open_s", "open_cap_s"),
        ("open_cap_s", "longest_open_s"),
        ("unhinted_throttle_s", "longest_throttle_s"),
    ),
    "concurrency": (("least", "most"),),
    "shedding": (
        ("batch_lag_ms", "all_lag_ms"),
        ("batch_memory_share", "all_memory_share"),
        ("retry_after_least_s", "retry_after_most_s"),
    ),
}
"""By section: a number and the one that it must not be above."""


_SHARED_BY: KeyPath = ("resilience", "kept_answers", "shared_by")


def check_resilience(config: Config, located: Located) -> None:
    for section, pairs in _RESILIENCE.items():
        path: KeyPath = ("resilience", section)
        _check_order(getattr(config.resilience, section), pairs, path, located)
    _check_start(config, located)
    _check_sizes(config, located)
    _check_shared(config, located)


def check_retry(retry: RetryPolicy, path: KeyPath, located: Located) -> None:
    _check_order(retry, _RETRY, path, located)
    per_backend: KeyPath = (*path, "attempts_per_backend")
    if retry.attempts_per_backend > retry.attempts and located.is_written(per_backend):
        located.warning(
            per_backend,
            f"a call makes at most {retry.attempts} attempts, on all backends together",
            f"Write `attempts: {retry.attempts_per_backend}`, or a smaller number here.",
        )


def check_timeouts(timeouts: Timeouts, path: KeyPath, located: Located) -> bool:
    """Whether nothing was to be said."""
    if timeouts.first_token_s <= timeouts.stream_s:
        return True
    located.warning(
        path,
        "`first_token_s` is longer than `stream_s`, which ends the stream before",
        "Make `stream_s` the longer one.",
    )
    return False


def check_one_more(model: Model, path: KeyPath, located: Located) -> None:
    """What asks for one attempt more needs a backend for it."""
    resume: KeyPath = (*path, "resume")
    hedge: KeyPath = (*path, "hedge")
    if model.retry.attempts == 1:
        others = "a call makes one attempt, since `retry.attempts` is 1"
        for where, on in ((resume, model.resume), (hedge, model.hedge.enabled)):
            if on:
                located.warning(where, f"it has no effect: {others}", "Write `attempts: 2`.")
        return
    if model.resume and len({name for tier in model.pools for name in tier}) == 1:
        located.warning(
            resume,
            "it has no effect: the pools have one backend, and another must go on",
            "Add a backend, or remove the line.",
        )
    if model.hedge.enabled and model.pools and all(len(tier) == 1 for tier in model.pools):
        located.warning(
            hedge,
            "it has no effect: the second backend must be of the same tier, and each has one",
            "Put backends that are as good as each other into one tier, or remove it.",
        )


def check_cache(cache: CachePolicy, path: KeyPath, located: Located) -> None:
    """What bounds wrong answers needs answers that may be wrong."""
    rate: KeyPath = (*path, "cache", "max_wrong_rate")
    share: KeyPath = (*path, "cache", "check_share")
    if cache.max_wrong_rate is not None and cache.answers != "semantic":
        located.warning(
            rate,
            "it has no effect: only answers to other words can be wrong",
            "Write `answers: semantic`, or remove it.",
        )
    if cache.check_share and cache.max_wrong_rate is None:
        located.warning(
            share,
            "it has no effect: nothing is learned without a bound",
            "Write `max_wrong_rate: 0.01` beside it, or remove it.",
        )


def _check_order(
    section: Struct, pairs: tuple[tuple[str, str], ...], path: KeyPath, located: Located
) -> None:
    for small, large in pairs:
        low, high = getattr(section, small), getattr(section, large)
        if low <= high:
            continue
        if located.is_written((*path, small)):
            what = f"{_plain(low)} is above `{large}`, which is {_plain(high)}"
            instead = f"Write at most {_plain(high)}, or raise `{large}`."
            located.problem((*path, small), what, instead)
        else:
            what = f"{_plain(high)} is below `{small}`, which is {_plain(low)}"
            instead = f"Write at least {_plain(low)}, or lower `{small}`."
            located.problem((*path, large), what, instead)


def _check_start(config: Config, located: Located) -> None:
    """The default start gives way to other bounds, so only a written one can contradict them."""
    limits = config.resilience.concurrency
    path: KeyPath = ("resilience", "concurrency", "start")
    fits = limits.least <= limits.start <= limits.most
    if limits.least <= limits.most and not fits and located.is_written(path):
        located.problem(
            path,
            f"{limits.start} is not between `least`, which is {limits.least}, and `most`, which "
            f"is {limits.most}",
            "Write a number between them, or remove the line.",
        )


def _check_sizes(config: Config, located: Located) -> None:
    """A smaller total bounds the default size of one answer; a written one can't be meant so."""
    for name in ("idempotency", "kept_answers"):
        section = getattr(config.resilience, name)
        path: KeyPath = ("resilience", name, "answer_bytes")
        if section.answer_bytes > section.most_bytes and located.is_written(path):
            located.problem(
                path,
                f"{section.answer_bytes} is above `most_bytes`, which is {section.most_bytes} for "
                "all answers together",
                f"Write at most {section.most_bytes}, or raise `most_bytes`.",
            )


def _check_shared(config: Config, located: Located) -> None:
    shared_by, path = config.resilience.kept_answers.shared_by, _SHARED_BY
    if shared_by == "postgres" and config.store.url is None and config.store.url_secret is None:
        located.problem(
            path,
            "`store` names no PostgreSQL server",
            "Write `store: {url: postgresql://HOST/DATABASE}`, or remove the line.",
        )
    if shared_by == "redis" and config.redis is None:
        located.problem(
            path,
            "there is no section `redis` that says where the server is",
            "Write `redis: {url: redis://HOST:6379}` beside `resilience`, or remove the line.",
        )


def _plain(number: float) -> str:
    return f"{number:.15g}"
