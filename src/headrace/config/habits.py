"""What people write from habit or by guess, and where it goes here: for these the nearest word, or
what a value's type expects, would lead astray."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from headrace.config.problems import KeyPath

_TIERS = (
    "Backends that are asked when others fail are a further tier: `pools: [[a], [b]]`. `fallback` "
    'is for when all have failed: `fallback: {message: "Please try again."}`.'
)
_POOLS = (
    "Backends stand in `pools`: `pools: [[a, b]]` shares calls between both, `pools: [[a], [b]]` "
    "asks b when a cannot answer."
)
_BACKEND_RATE = (
    "How much a backend takes is learned from its refusals. For a limit of your own write `limits: "
    "[{per: model, requests: 600, every_s: 60}]` at the top of the file."
)
_LITELLM = (
    "This is a section of LiteLLM: docs/coming-from-litellm.md says what its settings are called "
    "here."
)
_BY_SENTENCE = (
    ("models.*", "Write `{pools: [[a, b]]}`, a list of lists of backends."),
    ("models.*.fallback models.*.fallbacks", _TIERS),
    ("models.*.fallback.backend models.*.fallback.backends models.*.fallback.pools", _TIERS),
    ("models.*.fallback.model models.*.fallback.models", _TIERS),
    ("models.*.backend models.*.backends", _POOLS),
    (
        "models.*.pools.#",
        "Write `[[a, b]]` to share calls between both, `[[a], [b]]` to ask b when a cannot answer.",
    ),
    ("models.*.cache", "Write `cache: {answers: exact}`, or `semantic` in place of `exact`."),
    ("models.*.retry", "Write `retry: {attempts: 3}`."),
    (
        "models.*.timeouts backends.*.timeouts",
        "Write `timeouts: {first_token_s: 10, whole_s: 60}`.",
    ),
    ("models.*.hedge", "Write `hedge: {enabled: true}`."),
    ("models.*.balance", "Write `balance: {method: least_busy}`, or another method."),
    ("limits keys.*.limits", "Write a list: `limits: [{per: key, requests: 60, every_s: 60}]`."),
    ("budgets keys.*.budgets", "Write a list: `budgets: [{per: key, usd: 50, every: month}]`."),
    ("backends.*.api_key", "Write `credential: env:NAME` or `credential: file:PATH`."),
    ("backends.*.base_url backends.*.api_base backends.*.endpoint", "Write `url: https://...`."),
    ("backends.*.azure_endpoint", "Write `url: https://NAME.openai.azure.com`."),
    ("backends.*.rpm backends.*.tpm", _BACKEND_RATE),
    (
        "backends.*.weight",
        "Weights stand with the model: `balance: {method: weighted, weights: {a: 3, b: 1}}`.",
    ),
    ("keys.*.key", "Write `secret: env:NAME` or `secret: file:PATH`."),
    (
        "keys.*.budget keys.*.max_budget",
        "Write `budgets: [{per: key, usd: 50, every: month}]`.",
    ),
    ("keys.*.rpm_limit", "Write `limits: [{per: key, requests: 60, every_s: 60}]`."),
    ("keys.*.tpm_limit", "Write `limits: [{per: key, tokens: 100_000, every_s: 60}]`."),
    ("redis", "Write `redis: {url: redis://HOST:6379}`."),
    ("model_list router_settings litellm_settings general_settings", _LITELLM),
)
_HABITS: Mapping[str, str] = MappingProxyType(
    {place: sentence for places, sentence in _BY_SENTENCE for place in places.split()}
)
"""By place; `*` is a name that the operator chose, `#` an item of a list."""


def habit(path: KeyPath) -> str | None:
    """What to write in place of an unknown key, or of a value of the wrong kind, at this place."""
    parts = ("#" if isinstance(part, int) else part for part in path)
    return _HABITS.get(".".join("*" if i == 1 else part for i, part in enumerate(parts)))
