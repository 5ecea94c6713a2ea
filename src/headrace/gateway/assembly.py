"""From a configuration to the objects that serve it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from headrace.config.backends import Timeouts, capabilities_of, model_of
from headrace.config.caching import CachePolicy
from headrace.config.limit_rules import any_bounded
from headrace.config.policies import BreakerPolicy, HedgePolicy
from headrace.config.schema import Config, Model
from headrace.gateway.backend_services import BackendServices
from headrace.gateway.callers import Known, known_by_terms
from headrace.gateway.capabilities import ALL, NOTHING
from headrace.gateway.fleet import Fleet, Route
from headrace.gateway.hedging import Hedging
from headrace.gateway.identity import Identity, fingerprint
from headrace.gateway.keyring import Keyring
from headrace.gateway.limits.gate import Gate
from headrace.gateway.limits.reckoning import Reckoning
from headrace.gateway.limits.rulebook import Rulebook
from headrace.gateway.limits.sellers import Sellers
from headrace.gateway.limits.token_caps import TokenCaps
from headrace.gateway.models import ATTEMPT_SHARE, Chosen, Models, Patience, Target
from headrace.gateway.own_keys import own_key_text
from headrace.gateway.own_prices import own_prices
from headrace.gateway.parts import Parts
from headrace.gateway.pipeline import Pipeline
from headrace.gateway.prices import PriceBook
from headrace.gateway.token_assembly import KeyStore, tokens
from headrace.gateway.written_units import written_units
from headrace.nouns import PASSED_ON, Caller, Operation
from headrace.platform.http.messages import Timeouts as WireTimeouts
from headrace.platform.secrets import Secret, Secrets
from headrace.services.in_words import InWords
from headrace.services.local.process import Endpoint
from headrace.services.schema_check import require_validator
from headrace.services.service import Service

if TYPE_CHECKING:
    from headrace.data.feedback_file import FeedbackRows

GENERATED = "generated"
SLOW_SHARE = 2 / 3
ATTEMPTS_WORTH = 2
"""A client waits for the first token as long as so many attempts may take: a backend that is silent
to its end must leave time for another."""


def assemble(
    config: Config,
    secrets: Secrets,
    endpoints: Mapping[str, Endpoint],
    generated_key: Secret | None,
    parts: Parts,
    registered: Keyring,
    issuer_keys: KeyStore | None = None,
) -> Pipeline:
    """`registered` are the keys of the registry, which change while they are in use.

    Raises Setup for a secret that cannot be read or a local model that is not running.
    """
    models = _models(config, secrets, endpoints, parts.prices, parts.fleet)
    proofs = None if issuer_keys is None else tokens(config.oidc, issuer_keys, registered)
    own = own_keys(config, secrets, generated_key)
    identity = Identity(registered, tokens=proofs)
    modes = {n: m.coalesce for n, m in config.models.items() if m.coalesce is not None}
    resilience = config.resilience
    parts.sharing.configure(resilience.idempotency, resilience.coalescing, modes)
    if any(model.structured_output.repair for model in config.models.values()):
        require_validator()
    if any(model.cache.answers != "off" for model in config.models.values()):
        _take_cache(config, parts)
    parts.prices.take_own(own_prices(config.prices))
    registered.write(written_units(config), own)
    gate = _gate(config, parts, registered)
    return Pipeline(identity, models, parts, gate, config.realtime)


def _take_cache(config: Config, parts: Parts) -> None:
    """Begins the cache, once; what it kept before a restart is there. Raises Setup."""
    policies = [model.cache for model in config.models.values()]
    semantic = any(policy.answers == "semantic" for policy in policies)
    bounded = semantic and any(policy.max_wrong_rate is not None for policy in policies)
    if parts.cache is not None:
        if semantic:
            parts.cache.take_embeddings()
        if bounded:
            parts.cache.take_bound(_feedback_rows(parts), parts.feedback)
        return
    # Imported where a cache is wanted: it is a tenth of what a start without one takes.
    from headrace.data.answer_file import AnswerFile
    from headrace.gateway.cache.file_shelf import FileShelf
    from headrace.gateway.cache.given_again import GivenAgain

    shelf = parts.shelf
    if shelf is None and parts.store is not None:
        shelf = FileShelf(AnswerFile(parts.store))
    cache = GivenAgain(config.resilience.kept_answers, shelf)
    if semantic:
        cache.take_embeddings()
    if bounded:
        cache.take_bound(_feedback_rows(parts), parts.feedback)
    cache.begin_restoring(time.time())
    parts.cache = cache


def _feedback_rows(parts: Parts) -> FeedbackRows | None:
    from headrace.data.feedback_file import FeedbackFile

    if parts.feedback_rows is not None:
        return parts.feedback_rows
    return None if parts.store is None else FeedbackFile(parts.store)


def _gate(config: Config, parts: Parts, registered: Keyring) -> Gate | None:
    """None if nobody's calls are limited."""
    rulebook, caps = Rulebook(config.limits, config.budgets), TokenCaps(config.token_caps)
    if not (rulebook or caps or any_bounded(config) or registered.bounded):
        return None
    assumed = config.counting.assumed_answer_tokens
    reckoning = Reckoning(Sellers(parts.prices), parts.prompts, assumed)
    return Gate(rulebook, caps, reckoning, parts.counters, parts.steps)


def own_keys(config: Config, secrets: Secrets, generated_key: Secret | None) -> dict[bytes, Known]:
    """Whom the keys of a configuration prove, by their fingerprints. Raises Setup."""
    own: dict[bytes, Known] = {}
    for name, key in config.keys.items():
        text = own_key_text(name, key.secret, secrets, time.monotonic())
        own[fingerprint(text.encode())] = known_by_terms(name, key)
    if generated_key is not None:
        own[fingerprint(generated_key.reveal().encode())] = Known(Caller(key_id=GENERATED))
    return own


def _models(
    config: Config,
    secrets: Secrets,
    endpoints: Mapping[str, Endpoint],
    prices: PriceBook,
    fleet: Fleet,
) -> Models:
    backends = BackendServices(config, secrets, endpoints, prices)
    services = backends.services()
    resilience = config.resilience
    for name, backend in config.backends.items():
        breaker = _breaker(resilience.breaker, backend.timeouts)
        fleet.enlist(
            name,
            breaker=breaker,
            concurrency=resilience.concurrency,
            retries=resilience.retry_budget,
        )
    fleet.budget.policy = resilience.retry_budget
    fleet.retain(config.backends.keys())
    return Models(
        {
            name: {
                operation: chosen
                for operation in Operation
                if (chosen := _chosen(model, operation, backends, services, fleet)) is not None
            }
            for name, model in config.models.items()
        }
    )


def _breaker(policy: BreakerPolicy, timeouts: Timeouts) -> BreakerPolicy:
    """A first token must count as slow well before its call is given up: that is the warning by
    which the concurrency limit falls in time."""
    slow_s = min(policy.slow_first_token_s, SLOW_SHARE * timeouts.first_token_s)
    return msgspec.structs.replace(policy, slow_first_token_s=slow_s)


def _chosen(
    model: Model,
    operation: Operation,
    backends: BackendServices,
    services: Mapping[str, Service],
    fleet: Fleet,
) -> Chosen | None:
    """What answers this operation of a model, None if nothing of it can."""
    written = backends.config.backends
    has = {name: capabilities_of(written[name]) for tier in _named(model) for name in tier}
    repairs = model.structured_output.repair
    worded = {n for n, a in has.items() if repairs and a is not None and "json_schema" not in a}
    has |= {name: (has[name] or NOTHING) | {"json_schema"} for name in worded}
    needed = frozenset(model.needs)
    able = {
        name: service
        for name, known in has.items()
        if (known is None or needed <= known)
        and (service := backends.able(services[name], name, operation)) is not None
    }
    tiers = [[name for name in tier if name in able] for tier in model.pools]
    tiers = [tier for tier in tiers if tier]
    if not tiers:
        return None
    if operation in PASSED_ON:
        model = _plainly(model, operation)
    wider = [name for name in model.context_fallback if name in able]
    names = list(dict.fromkeys(name for tier in (*tiers, wider) for name in tier))
    timeouts = {name: model.timeouts.over(written[name].timeouts) for name in names}
    whole_s = max(t.whole_s for t in timeouts.values())
    targets = {
        name: Target(
            name=name,
            service=InWords(able[name]) if name in worded else able[name],
            patience=_patience(timeouts[name], whole_s),
            region=written[name].region,
            model=model_of(written[name]),
            context_tokens=written[name].context_tokens,
            card=written[name].card,
            capabilities=None if (c := written[name].capabilities) is None else frozenset(c),
            at_most=has[name],
        )
        for name in names
    }
    windows = {n: w for n in names if (w := written[n].context_tokens) is not None}
    patience = [target.patience for target in targets.values()]
    return Chosen(
        route=Route(
            fleet, tiers, retry=model.retry, balance=model.balance, windows=windows, wider=wider
        ),
        targets=targets,
        fallback=model.fallback,
        affinity=model.balance.affinity,
        affinity_header=model.balance.affinity_header.lower().encode(),
        first_token_s=ATTEMPTS_WORTH * max(p.first_token_s for p in patience),
        whole_s=whole_s,
        tries=min(len(targets), model.retry.attempts),
        resume=model.resume and operation is Operation.CHAT,
        cache=None if model.cache.answers == "off" else model.cache,
        structured=model.structured_output if repairs else None,
        hedging=Hedging(model.hedge) if model.hedge.enabled else None,
        uneven=any(not target.has(ALL) for target in targets.values()),
    )


def _named(model: Model) -> list[list[str]]:
    """The backends' names, tier by tier, the larger ones last."""
    return [*model.pools, model.context_fallback]


def _plainly(model: Model, operation: Operation) -> Model:
    """Without what needs answers that are understood: none is kept, resumed or asked for twice. An
    upload is sent once, for who breaks off may have kept the file."""
    retry = model.retry
    if operation is Operation.FILES:
        retry = msgspec.structs.replace(retry, attempts=1)
    return msgspec.structs.replace(
        model,
        retry=retry,
        resume=False,
        cache=CachePolicy(),
        hedge=HedgePolicy(),
        fallback=msgspec.structs.replace(model.fallback, cache=False, as_answer=False),
    )


def _patience(timeouts: Timeouts, overall_s: float) -> Patience:
    alone_s, sharing_s = timeouts.whole_s, min(timeouts.whole_s, ATTEMPT_SHARE * overall_s)
    return Patience(
        connect_s=timeouts.connect_s,
        first_token_s=timeouts.first_token_s,
        idle_s=timeouts.idle_s,
        whole_s=timeouts.whole_s,
        stream_s=timeouts.stream_s,
        usual=tuple(
            WireTimeouts(timeouts.connect_s, whole_s, timeouts.idle_s)
            for whole_s in (alone_s, sharing_s)
        ),
    )
