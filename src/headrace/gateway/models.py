"""Which backends answer a model's name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from msgspec import Struct, structs

from headrace.config.caching import CachePolicy
from headrace.config.model_cards import ModelCard
from headrace.config.policies import StructuredOutputPolicy
from headrace.config.schema import Fallback
from headrace.errors import Reason, Refused
from headrace.gateway.capabilities import NOTHING, Needs, lacking, needs
from headrace.gateway.fleet import Route
from headrace.gateway.hedging import Hedging
from headrace.nouns import Call, Caller, Operation
from headrace.platform.http.messages import Timeouts
from headrace.services.service import Service

ANY = "*"
MOST_NARROWED = 4_096
"""Choices by what requests need that are remembered."""
REGION_SETS = 256
"""Sets of regions whose choice of backends is remembered: keys have few."""


ATTEMPT_SHARE = 2 / 3
"""Of the time that is left, for an attempt at a whole answer that need not be the last."""


def attempt_until(made: int, tries: int, now: float, deadline: float) -> float:
    """The instant by which an attempt at a whole answer must end, after `made` others of at most
    `tries`: what it leaves is for the next, if there can be one. Monotonic seconds."""
    return deadline if made + 1 >= tries else now + ATTEMPT_SHARE * (deadline - now)


class Patience(Struct, frozen=True):
    """Seconds that a backend may take; see `config.schema.Timeouts`."""

    connect_s: float
    first_token_s: float
    idle_s: float
    whole_s: float
    stream_s: float
    usual: tuple[Timeouts, ...] = ()
    """Those of a whole answer with all its time, and with what is its share while others can be
    asked, made once."""


class Target(Struct, frozen=True):
    """A backend as the pipeline sees it."""

    name: str
    service: Service
    patience: Patience
    region: str | None = None
    model: str | None = None
    """The backend's own name of the model; None where it takes the client's."""
    context_tokens: int | None = None
    """The model's context window, as the operator says."""
    card: ModelCard = ModelCard()
    capabilities: Needs | None = None
    """What it has, as the operator says."""
    at_most: Needs | None = None
    """What it is known to have at most; None if nothing is known."""

    def has(self, needed: Needs) -> bool:
        """It may be asked for what needs that."""
        return self.at_most is None or needed <= self.at_most


class Chosen(Struct, frozen=True):
    """What answers one operation of one model."""

    route: Route
    targets: Mapping[str, Target]
    """By backend's name, with this model's patience."""
    fallback: Fallback
    affinity: str
    """none, user or header."""
    affinity_header: bytes
    first_token_s: float
    """Seconds that a client waits for a stream's first token, over all attempts."""
    whole_s: float
    """Seconds that a client waits for a whole answer, over all attempts."""
    tries: int = 1
    """Backends that one call can ask."""
    resume: bool = False
    """Another backend may go on with a stream that broke off."""
    cache: CachePolicy | None = None
    """Answers of earlier calls are given again; None if they are not."""
    structured: StructuredOutputPolicy | None = None
    """Answers must fit their client's schema; None if nobody looks."""
    hedging: Hedging | None = None
    """A second backend may be asked for a whole answer that is late."""

    uneven: bool = False
    """A backend is known to lack what a request may need."""

    def alone(self, name: str) -> Chosen | None:
        """The same by this backend alone; None if it is not one of them."""
        route = self.route.only({name})
        if route is None or name not in self.targets:
            return None
        return structs.replace(self, route=route, targets={name: self.targets[name]})

    def within(self, regions: frozenset[str]) -> Chosen | None:
        """The same by backends of these regions alone; None if there is none."""
        return self._of({n: t for n, t in self.targets.items() if t.region in regions})

    def having(self, needed: Needs) -> Chosen | None:
        """The same by backends that have what is needed alone; None if there is none."""
        return self._of({n: t for n, t in self.targets.items() if t.has(needed)})

    def _of(self, targets: dict[str, Target]) -> Chosen | None:
        if len(targets) == len(self.targets):
            return self
        route = self.route.only(targets.keys())
        if route is None:
            return None
        tries = min(self.tries, len(targets))
        return structs.replace(self, route=route, targets=targets, tries=tries)


_Choice = tuple[str, Operation, frozenset[str] | None, str | None, Needs]
ByModel = Mapping[str, Mapping[Operation, Chosen]]


class Models:
    """What answers each model's name, by operation. `*` stands for every name not listed."""

    def __init__(self, chosen: ByModel) -> None:
        self._chosen: ByModel = {name: dict(by_op) for name, by_op in chosen.items()}
        self.keeps_files = any(Operation.FILES in by_op for by_op in chosen.values())
        """Clients may upload files, and name them in chats."""
        self._within: dict[frozenset[str], ByModel] = {}
        self._able: dict[_Choice, Chosen | None] = {}

    def names(self, caller: Caller) -> list[str]:
        """Names that the caller may ask for, sorted."""
        return sorted(self.names_as_configured(caller))

    def names_as_configured(self, caller: Caller) -> list[str]:
        """The same in the order of the configuration: the first is what `headrace chat` asks."""
        names = [n for n in self._chosen if n != ANY and caller.may_use(n)]
        if caller.regions is None:
            return names
        within = self._of_regions(caller.regions)
        return [name for name in names if within[name]]

    def _of_regions(self, regions: frozenset[str]) -> ByModel:
        """What answers within these regions: made once for each set of them. A name of which
        nothing is within them leads to nothing."""
        found = self._within.get(regions)
        if found is None:
            found = {
                name: {
                    operation: one
                    for operation, chosen in by_op.items()
                    if (one := chosen.within(regions)) is not None
                }
                for name, by_op in self._chosen.items()
            }
            while len(self._within) >= REGION_SETS:
                self._within.pop(next(iter(self._within)))
            self._within[regions] = found
        return found

    def answering(self, name: str, caller: Caller) -> list[Target]:
        """The backends that may answer this caller, whatever is asked of the model, in the order
        in which they are named. `name` is one of `names`."""
        within = self._chosen if caller.regions is None else self._of_regions(caller.regions)
        found: dict[str, Target] = {}
        for chosen in within[name].values():
            for target in chosen.targets.values():
                found.setdefault(target.name, target)
        return list(found.values())

    def targets(self) -> list[Target]:
        """All targets, some more than once."""
        return [
            target
            for by_operation in self._chosen.values()
            for chosen in by_operation.values()
            for target in chosen.targets.values()
        ]

    def choose(self, call: Call) -> Chosen:
        """What answers a call. Raises Refused."""
        caller = call.caller
        if caller.models is not None and call.model not in caller.models:
            raise Refused(
                Reason.MODEL_FORBIDDEN,
                f"Your key may not use the model {call.model[:64]!r}. "
                f"It may use: {', '.join(self.names(caller)) or 'none'}.",
                param="model",
            )
        if caller.operations is not None and call.operation not in caller.operations:
            raise Refused(
                Reason.OPERATION_FORBIDDEN,
                f"Your key may not be used for {call.operation.value}. It may be used for: "
                f"{', '.join(sorted(caller.operations)) or 'nothing'}.",
            )
        by_operation = self._chosen.get(call.model) or self._chosen.get(ANY)
        if by_operation is None:
            raise self.unknown(call.model, caller)
        chosen = by_operation.get(call.operation)
        regions = caller.regions
        if regions is not None and chosen is not None:
            name = call.model if call.model in self._chosen else ANY
            chosen = self._of_regions(regions)[name].get(call.operation)
            if chosen is None:
                raise Refused(
                    Reason.REGION_FORBIDDEN,
                    f"Your key may only be answered from {_listed(regions)}, where nothing "
                    f"answers the model {call.model[:64]!r}.",
                    param="model",
                )
        if chosen is None:
            raise Refused(
                Reason.UNSUPPORTED_OPERATION,
                f"The model {call.model[:64]!r} does not do {call.operation.value}.",
                param="model",
            )
        if call.backend is not None:
            chosen = self._alone(chosen, call)
        return self._capable(chosen, call) if chosen.uneven else chosen

    def _capable(self, chosen: Chosen, call: Call) -> Chosen:
        """The same by backends that have what the request needs. Raises Refused."""
        needed = needs(call.operation, call.body)
        if not needed:
            return chosen
        name = call.model if call.model in self._chosen else ANY
        key = (name, call.operation, call.caller.regions, call.backend, needed)
        if key not in self._able:
            if len(self._able) >= MOST_NARROWED:
                self._able.clear()
            self._able[key] = chosen.having(needed)
        narrowed = self._able[key]
        if narrowed is None:
            has = [target.at_most or NOTHING for target in chosen.targets.values()]
            raise lacking(call, needed, has, self._others_with(needed, call))
        return narrowed

    def _others_with(self, needed: Needs, call: Call) -> list[str]:
        """Names of models that can answer such a request of this caller."""
        regions = call.caller.regions
        within = self._chosen if regions is None else self._of_regions(regions)
        found = []
        for name in self.names(call.caller):
            chosen = within[name].get(call.operation)
            if chosen is not None and chosen.having(needed) is not None:
                found.append(name)
        return found

    def _alone(self, chosen: Chosen, call: Call) -> Chosen:
        alone = chosen.alone(call.backend or "")
        if alone is None and call.operation is Operation.FILES:
            raise Refused(
                Reason.UNKNOWN_FILE,
                "This file is kept by a backend that no longer answers you. Upload it again.",
                param="file_id",
            )
        if alone is None:
            raise Refused(
                Reason.UNKNOWN_RESPONSE,
                "The response that this call goes on with is kept by a backend that does not "
                "answer this model for you. Use the model that made it, or send all items.",
                param="previous_response_id",
            )
        return alone

    def first_doing(self, operation: Operation, caller: Caller, backend: str | None = None) -> str:
        """The first name, in the order of letters, of those that the caller may use and that do
        this, by this backend if one is named. Raises Refused."""
        regions = caller.regions
        known = self._chosen if regions is None else self._of_regions(regions)
        names = self.names(caller) + ([ANY] if caller.models is None else [])
        for name in names:
            chosen = known.get(name, {}).get(operation)
            if chosen is not None and (backend is None or backend in chosen.targets):
                return name
        raise Refused(
            Reason.UNSUPPORTED_OPERATION,
            f"None of the models that you may use does {operation.value}.",
        )

    def counts(self, call: Call) -> bool:
        """False if the model answers such prompts, but no backend of it counts their tokens."""
        if not call.caller.may_use(call.model):
            return True  # which is refused
        by_operation = self._chosen.get(call.model) or self._chosen.get(ANY) or {}
        return Operation.COUNT_TOKENS in by_operation or Operation.MESSAGES not in by_operation

    def unknown(self, model: str, caller: Caller) -> Refused:
        """The refusal of a name that leads nowhere, with what to write instead."""
        names = self.names(caller)
        shown = model[:64]
        close = difflib.get_close_matches(shown, names, n=1)
        if close:
            detail = f"There is no model {shown!r} here. Did you mean {close[0]!r}?"
        else:
            more = f" and {len(names) - 12} more" if len(names) > 12 else ""
            known = ", ".join(names[:12]) + more
            detail = f"There is no model {shown!r} here. You can use: {known or 'none yet'}."
        return Refused(Reason.UNKNOWN_MODEL, detail, param="model")


def _listed(regions: frozenset[str]) -> str:
    return ", ".join(sorted(regions)[:12]) or "no region at all"
