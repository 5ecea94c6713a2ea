"""What must hold for a model's pools, and for what is to happen when they fail.

No cycle can be written: pools name backends, never models.
"""

from __future__ import annotations

from headrace.config.backends import (
    AnthropicBackend,
    AnyBackend,
    BedrockBackend,
    CohereBackend,
    GoogleBackend,
    LocalBackend,
    MistralBackend,
    capabilities_of,
)
from headrace.config.contradictions import (
    check_cache,
    check_one_more,
    check_retry,
    check_timeouts,
)
from headrace.config.located import Located
from headrace.config.masking import quoted, shown
from headrace.config.problems import KeyPath
from headrace.config.schema import Config, Model
from headrace.config.words import suggestion

_OPERATIONS = ("chat", "completions", "embeddings")
_MOST_ATTEMPTS = 16
"""The most that `retry.attempts` takes."""


class ModelRules:
    """Checks one model after another. What it says of a backend it says once."""

    def __init__(self, config: Config, located: Located) -> None:
        self._backends = config.backends
        self._located = located
        self._known = located.names("backends")
        self._models = located.names("models")
        self._windowless: set[str] = set()

    def check(self, name: str, model: Model) -> None:
        path: KeyPath = ("models", name)
        self._pools(model, (*path, "pools"))
        self._attempts(model, (*path, "pools"))
        self._wider(name, model, (*path, "context_fallback"))
        self._needs(model, (*path, "needs"))
        self._balance(model, (*path, "balance"))
        self._fallback(model, (*path, "fallback"))
        check_retry(model.retry, (*path, "retry"), self._located)
        check_one_more(model, path, self._located)
        check_cache(model.cache, path, self._located)
        self._timeouts(model, (*path, "timeouts"))

    def _pools(self, model: Model, path: KeyPath) -> None:
        problem = self._located.problem
        if not model.pools:
            problem(path, "there is no backend in it", "Write a tier of backends: `[[NAME]]`.")
        seen: set[str] = set()
        for i, tier in enumerate(model.pools):
            if not tier:
                instead = "Name a backend in it, or remove `[]`."
                problem((*path, i), "this tier is empty", instead)
            elif seen.issuperset(tier):
                problem(
                    (*path, i),
                    "this tier is never reached: all of its backends stand in earlier tiers",
                    "Name others in it, or remove it.",
                )
                continue
            for j, backend in enumerate(tier):
                self._named(backend, seen, (*path, i, j))
                seen.add(backend)

    def _named(self, backend: str, seen: set[str], where: KeyPath) -> None:
        if backend in seen:
            what = f"the backend {quoted(backend)} stands here twice"
            self._located.problem(where, what, "Remove one of the two.")
        elif backend not in self._known:
            what = f"there is no backend {quoted(backend)}"
            if backend in self._models:
                what = f"{quoted(backend)} is a model, but only backends can stand here"
            instead = suggestion(backend, self._known, "Add it under `backends`.")
            self._located.problem(where, what, instead)

    def _attempts(self, model: Model, path: KeyPath) -> None:
        """A tier behind as many others as there are attempts is asked only while one of those is
        out, and so takes no attempt."""
        attempts = model.retry.attempts
        before = dict.fromkeys(_OPERATIONS, 0)
        for i, tier in enumerate(model.pools):
            here = [o for o in _OPERATIONS if any(self._does(name, o) for name in tier)]
            if here and all(before[operation] >= attempts for operation in here):
                raised = min(before[operation] for operation in here) + 1
                more = f" Or write `retry: {{attempts: {raised}}}`."
                self._located.warning(
                    (*path, i),
                    "a call that failed in the tiers before does not reach this one: each takes "
                    f"an attempt, and `retry.attempts` is {attempts}. It is asked only while all "
                    "backends of an earlier tier are out",
                    "Put its backends into an earlier tier."
                    + (more if raised <= _MOST_ATTEMPTS else ""),
                )
                return
            for operation in here:
                before[operation] += 1

    def _timeouts(self, model: Model, path: KeyPath) -> None:
        """With each backend's own where the model's are left out; said once."""
        if not self._located.is_written(path):
            return
        for name in (n for tier in (*model.pools, model.context_fallback) for n in tier):
            backend = self._backends.get(name)
            if backend is not None and not check_timeouts(
                model.timeouts.over(backend.timeouts), path, self._located
            ):
                return

    def _does(self, name: str, operation: str) -> bool:
        """Whether a backend may be asked for it, as far as the file tells."""
        backend = self._backends.get(name)
        if isinstance(backend, AnthropicBackend | BedrockBackend):
            return operation == "chat"
        if isinstance(backend, GoogleBackend | CohereBackend):
            return operation in ("chat", "embeddings")
        if isinstance(backend, MistralBackend) and operation == "completions":
            return False
        if backend is None or isinstance(backend, LocalBackend) or backend.operations is None:
            return True
        return operation in backend.operations

    def _wider(self, name: str, model: Model, path: KeyPath) -> None:
        """Backends for what is too long for the others must be known to be larger."""
        if not model.context_fallback:
            return
        if model.retry.attempts == 1:
            self._located.problem(
                path,
                "it is never reached: that a conversation is too long shows in an attempt, and "
                "`retry.attempts` is 1",
                "Write `retry: {attempts: 2}`, or remove it.",
            )
        pooled = {backend: None for tier in model.pools for backend in tier}
        widest = 0
        for backend in pooled:
            widest = max(widest, self._window(backend, name) or 0)
        seen: set[str] = set()
        for j, backend in enumerate(model.context_fallback):
            where: KeyPath = (*path, j)
            if backend in pooled:
                self._located.problem(
                    where,
                    f"the backend {quoted(backend)} is in the pools already",
                    "Name others here, with larger context windows.",
                )
            elif backend in seen or backend not in self._known:
                self._named(backend, seen, where)
            else:
                self._is_wider(backend, self._window(backend, name), widest, where)
            seen.add(backend)

    def _needs(self, model: Model, path: KeyPath) -> None:
        """Backends that lack what the model demands are never asked."""
        needed = set(model.needs)
        if model.structured_output.repair:
            needed.discard("json_schema")
        lacking = {
            name: sorted(needed - has)
            for tier in (*model.pools, model.context_fallback)
            for name in tier
            if (backend := self._backends.get(name)) is not None
            and (has := capabilities_of(backend)) is not None
            and not needed <= has
        }
        if model.pools and all(name in lacking for tier in model.pools for name in tier):
            self._located.problem(
                path,
                "no backend of the pools has all of these, so the model could answer nothing",
                "Name a backend that has them, or correct its `capabilities`.",
            )
            return
        for name, missing in lacking.items():
            self._located.warning(
                path,
                f"the backend {quoted(name)} is never asked: it lacks {', '.join(missing)}",
                "Remove it from this model, or correct its `capabilities`.",
            )

    def _is_wider(self, backend: str, window: int | None, widest: int, where: KeyPath) -> None:
        if window is None or window > widest:
            return
        self._located.problem(
            where,
            f"the context window of {quoted(backend)} has {window} tokens, which is no more than "
            f"the pools' largest, {widest}",
            "Name a backend with a larger window.",
        )

    def _window(self, name: str, model: str) -> int | None:
        """The backend's window. That it must be written is said once."""
        backend: AnyBackend | None = self._backends.get(name)
        if backend is None:
            return None
        if backend.context_tokens is None and name not in self._windowless:
            self._windowless.add(name)
            self._located.problem(
                ("backends", name),
                f"`context_tokens` is missing, which the `context_fallback` of the model "
                f"{quoted(model)} needs",
                "Write the model's context window, such as `context_tokens: 128000`.",
            )
        return backend.context_tokens

    def _balance(self, model: Model, path: KeyPath) -> None:
        balance = model.balance
        weights: KeyPath = (*path, "weights")
        tiers = (*model.pools, model.context_fallback)
        own = {backend for tier in tiers for backend in tier}
        for backend in balance.weights:
            if backend not in own:
                self._located.problem(
                    (*weights, backend),
                    f"the backend {quoted(backend)} is not one of this model's",
                    suggestion(backend, own, "Remove it."),
                )
        if balance.weights and balance.method != "weighted":
            self._located.problem(
                weights,
                f"weights have no effect with the method {shown(balance.method)}",
                "Write `method: weighted`, or remove them.",
            )
        for tier in tiers:
            if tier and balance.weights and not any(balance.weights.get(b, 1.0) for b in tier):
                self._located.problem(
                    weights,
                    f"all weights of the tier [{', '.join(map(shown, tier))}] are 0",
                    "Write a number above 0 for one of them.",
                )
        header: KeyPath = (*path, "affinity_header")
        if balance.affinity != "header" and self._located.is_written(header):
            self._located.warning(
                header,
                f"the header has no effect with `affinity: {balance.affinity}`",
                "Write `affinity: header`, or remove the line.",
            )

    def _fallback(self, model: Model, path: KeyPath) -> None:
        able = any(self._does(backend, "chat") for tier in model.pools for backend in tier)
        if model.fallback.as_answer and model.pools and not able:
            self._located.warning(
                (*path, "as_answer"),
                "it has no effect: only chats can be answered with a message, and no backend of "
                "the pools can chat",
                "Remove the line.",
            )
