"""Which backends answer a model's name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from msgspec import Struct

from headrace.errors import Reason, Refused
from headrace.nouns import Call, Caller
from headrace.services.service import Service

ANY = "*"


class Patience(Struct, frozen=True):
    """Seconds that a backend may take; see `config.schema.Timeouts`."""

    connect_s: float
    first_token_s: float
    idle_s: float
    whole_s: float
    stream_s: float


class Target(Struct, frozen=True):
    """A backend as the pipeline sees it."""

    name: str
    service: Service
    patience: Patience
    region: str | None = None


class Models:
    """Models by name, each with tiers of targets. `*` stands for every name not listed."""

    def __init__(self, tiers: Mapping[str, Sequence[Sequence[Target]]]) -> None:
        self._tiers = {name: tuple(tuple(tier) for tier in t) for name, t in tiers.items()}
        self._turn = 0

    def names(self, caller: Caller) -> list[str]:
        """Names that the caller may ask for, sorted."""
        return sorted(n for n in self._tiers if n != ANY and caller.may_use(n))

    def knows(self, name: str) -> bool:
        return name in self._tiers or ANY in self._tiers

    def targets(self) -> set[Target]:
        """All targets of all models."""
        return {target for tiers in self._tiers.values() for tier in tiers for target in tier}

    def choose(self, call: Call) -> Target:
        """The target of a call: the first tier that serves its operation, in turn.

        Raises Refused.
        """
        if not call.caller.may_use(call.model):
            raise Refused(
                Reason.MODEL_FORBIDDEN,
                f"Your key may not use the model {call.model!r}. "
                f"It may use: {', '.join(self.names(call.caller)) or 'none'}.",
                param="model",
            )
        tiers = self._tiers.get(call.model) or self._tiers.get(ANY)
        if tiers is None:
            raise self.unknown(call.model, call.caller)
        for tier in tiers:
            able = [t for t in tier if t.service.serves(call.operation)]
            if able:
                self._turn += 1
                return able[self._turn % len(able)]
        raise Refused(
            Reason.UNSUPPORTED_OPERATION,
            f"The model {call.model!r} does not do {call.operation.value}.",
            param="model",
        )

    def unknown(self, model: str, caller: Caller) -> Refused:
        """The refusal of a name that leads nowhere, with what to write instead."""
        names = self.names(caller)
        shown = model[:64]
        close = difflib.get_close_matches(shown, names, n=1)
        if close:
            detail = f"There is no model {shown!r} here. Did you mean {close[0]!r}?"
        else:
            known = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            detail = f"There is no model {shown!r} here. You can use: {known or 'none yet'}."
        return Refused(Reason.UNKNOWN_MODEL, detail, param="model")
