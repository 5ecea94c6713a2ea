"""What the types can't say: names that must exist, and values that must fit each other."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.config.masking import quoted, shown
from headrace.config.problems import Findings, KeyPath, Place
from headrace.config.schema import (
    AzureOpenAIBackend,
    Config,
    LocalBackend,
    Model,
    OpenAIBackend,
)
from headrace.config.urls import (
    azure_url_fault,
    is_loopback,
    is_plain_to_another_machine,
    url_fault,
)
from headrace.config.words import suggestion

ANY_MODEL = "*"


class Rules:
    """Checks a config as it was written. `places` says where each key stands in the file.

    Parts that did not fit the types are missing from `config`, but their names are in `places`.
    """

    def __init__(self, config: Config, places: dict[KeyPath, Place], findings: Findings) -> None:
        self._config = config
        self._places = places
        self._findings = findings

    def check(self) -> None:
        self._server()
        self._keys()
        self._backends()
        self._models()
        self._unlisted()

    def _at(self, path: KeyPath) -> Place:
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path, Place())

    def _named(self, section: str) -> set[str]:
        return {str(p[1]) for p in self._places if len(p) == 2 and p[0] == section}

    def _problem(self, path: KeyPath, what: str, instead: str) -> None:
        self._findings.problem(self._at(path), path, what, instead)

    def _warning(self, path: KeyPath, what: str, instead: str) -> None:
        self._findings.warning(self._at(path), path, what, instead)

    def _server(self) -> None:
        server = self._config.server
        if any(c.isspace() for c in server.host) or "://" in server.host:
            self._problem(
                ("server", "host"), "this is not an address", "Write one such as `127.0.0.1`."
            )
        elif not is_loopback(server.host) and not self._config.keys:
            self._warning(
                ("server", "host"),
                "other machines can reach this address, but no `keys` are written",
                "A single key is generated and printed at the start; write `keys` to name callers.",
            )
        for field in ("certificate", "key"):
            if server.tls is not None and "-----BEGIN" in getattr(server.tls, field):
                self._problem(
                    ("server", "tls", field), "a path is expected", "Write a file's path."
                )

    def _keys(self) -> None:
        used: dict[str, str] = {}
        upstream = {
            backend.credential: name
            for name, backend in self._config.backends.items()
            if not isinstance(backend, LocalBackend) and backend.credential is not None
        }
        for name, key in self._config.keys.items():
            path: KeyPath = ("keys", name, "secret")
            if key.secret in used:
                self._problem(
                    path,
                    f"this is the secret of the key {quoted(used[key.secret])} too",
                    "Give each key a secret of its own.",
                )
            used.setdefault(key.secret, name)
            if key.secret in upstream:
                self._warning(
                    path,
                    f"this is the credential of the backend {quoted(upstream[key.secret])} too, "
                    "so clients know the provider's key",
                    "Give clients a secret of their own.",
                )
            self._key_models(name, key.models)

    def _key_models(self, name: str, models: list[str] | None) -> None:
        if models is None:
            return
        path: KeyPath = ("keys", name, "models")
        if not models:
            self._problem(
                path, "the list is empty, so the key is of no use", "Remove the line to allow all."
            )
        known = self._named("models")
        if not known or ANY_MODEL in known:
            return
        for i, model in enumerate(models):
            if model not in known:
                self._problem(
                    (*path, i),
                    f"there is no model {quoted(model)}",
                    suggestion(model, known, "Add it under `models`."),
                )

    def _backends(self) -> None:
        for name, backend in self._config.backends.items():
            path: KeyPath = ("backends", name)
            match backend:
                case OpenAIBackend():
                    self._url((*path, "url"), backend.url, url_fault(backend.url))
                    if backend.credential is None and backend.url == "https://api.openai.com/v1":
                        self._problem(
                            path,
                            "OpenAI needs a `credential`",
                            "Add `credential: env:OPENAI_API_KEY`, or the `url` of another server.",
                        )
                case AzureOpenAIBackend():
                    self._url((*path, "url"), backend.url, azure_url_fault(backend.url))
            if not isinstance(backend, LocalBackend) and backend.operations == []:
                self._problem(
                    (*path, "operations"),
                    "the list is empty, so the backend is of no use",
                    "Remove the line to let all be tried.",
                )
            timeouts = backend.timeouts
            if timeouts.first_token_s > timeouts.stream_s:
                self._warning(
                    (*path, "timeouts"),
                    "`first_token_s` is longer than `stream_s`, which ends the stream before",
                    "Make `stream_s` the longer one.",
                )

    def _url(self, path: KeyPath, url: str, fault: tuple[str, str] | None) -> None:
        if fault is not None:
            self._problem(path, *fault)
        elif is_plain_to_another_machine(url):
            self._warning(
                path,
                "prompts and the credential travel unencrypted to another machine",
                "Use `https://` unless you trust the network between.",
            )

    def _models(self) -> None:
        known = self._named("backends")
        for name, model in self._config.models.items():
            path: KeyPath = ("models", name, "pools")
            if not model.pools:
                self._problem(
                    path, "there is no backend in it", "Write a tier of backends: `[[NAME]]`."
                )
            seen: set[str] = set()
            for i, tier in enumerate(model.pools):
                if not tier:
                    self._problem(
                        (*path, i), "this tier is empty", "Name a backend in it, or remove `[]`."
                    )
                for j, backend in enumerate(tier):
                    where: KeyPath = (*path, i, j)
                    if backend in seen:
                        self._problem(
                            where,
                            f"the backend {quoted(backend)} stands here twice",
                            "Remove one of the two.",
                        )
                    elif backend not in known:
                        self._problem(
                            where,
                            f"there is no backend {quoted(backend)}",
                            suggestion(backend, known, "Add it under `backends`."),
                        )
                    seen.add(backend)
            self._check_tiers(name, model)
            self._check_wider(name, model, known)
            self._check_weights(name, model)

    def _check_tiers(self, name: str, model: Model) -> None:
        attempts = model.retry.attempts
        if len(model.pools) > attempts:
            self._problem(
                ("models", name, "pools", attempts),
                f"this tier is never reached: a call makes at most {attempts} attempts, and each "
                "tier before it takes at least one",
                f"Put its backends into an earlier tier, or write `retry: {{attempts: "
                f"{len(model.pools)}}}`.",
            )

    def _check_wider(self, name: str, model: Model, known: set[str]) -> None:
        """Backends for what is too long for the others must be known to be larger."""
        if not model.context_fallback:
            return
        backends = self._config.backends
        pooled = [backend for tier in model.pools for backend in tier]
        widest = 0
        for backend in pooled:
            if backend not in backends:
                continue
            window = backends[backend].context_tokens
            if window is None:
                self._problem(
                    ("backends", backend),
                    f"`context_tokens` is needed, since the model {quoted(name)} has a "
                    "`context_fallback`",
                    "Write the model's context window, such as `context_tokens: 128000`.",
                )
            widest = max(widest, window or 0)
        for j, backend in enumerate(model.context_fallback):
            where: KeyPath = ("models", name, "context_fallback", j)
            if backend not in known:
                self._problem(
                    where,
                    f"there is no backend {quoted(backend)}",
                    suggestion(backend, known, "Add it under `backends`."),
                )
            elif backend in pooled:
                self._problem(
                    where,
                    f"the backend {quoted(backend)} is in the pools already",
                    "Name others here, with larger context windows.",
                )
            elif backend in backends and (backends[backend].context_tokens or 0) <= widest:
                self._problem(
                    where,
                    f"the context window of {quoted(backend)} is not known to be larger than "
                    f"those of the pools ({widest:,} tokens)",
                    "Write its `context_tokens`, or name a backend with a larger window.",
                )

    def _check_weights(self, name: str, model: Model) -> None:
        balance = model.balance
        pooled = {backend for tier in model.pools for backend in tier}
        for backend in balance.weights:
            if backend not in pooled:
                self._problem(
                    ("models", name, "balance", "weights", backend),
                    f"the backend {quoted(backend)} is not in the pools",
                    suggestion(backend, pooled, "Remove it."),
                )
        if balance.weights and balance.method != "weighted":
            self._warning(
                ("models", name, "balance", "weights"),
                f"weights have no effect with the method {quoted(balance.method)}",
                "Write `method: weighted`, or remove them.",
            )

    def _unlisted(self) -> None:
        backends, models = self._config.backends, self._config.models
        if not models and self._named("models"):
            return
        if not backends and not models:
            self._findings.warning(
                Place(),
                (),
                "no `backends` are written",
                "Headrace serves what it finds in the environment, else its embedded models.",
            )
        if models:
            named = {
                name
                for model in models.values()
                for tier in (*model.pools, model.context_fallback)
                for name in tier
            }
            for name in backends:
                if name not in named:
                    self._warning(
                        ("backends", name),
                        "no model uses this backend",
                        "Name it in a model's `pools`, or remove it.",
                    )
            return
        passing = list(open_backends(self._config))
        if len(passing) > 1:
            first = shown(passing[0])
            self._problem(
                ("backends", passing[1]),
                f"like {quoted(passing[0])}, this backend has no `model`, so Headrace can't tell "
                "which of them a client's model is for",
                f'Give each a `model`, or write `models: {{"*": {{pools: [[{first}]]}}}}`.',
            )


def open_backends(config: Config) -> Iterator[str]:
    """Names of backends that pass on whatever name of a model the client used."""
    for name, backend in config.backends.items():
        if isinstance(backend, OpenAIBackend) and backend.model is None:
            yield name
