"""How long a call's answer may get: defaults and maxima of `max_tokens`, by the kind of call."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw, Struct

from headrace.config.caps import TokenCapRule
from headrace.errors import Reason, Refused
from headrace.gateway.limits.rulebook import TAG
from headrace.nouns import Call, Cut, Operation
from headrace.services.openai_wire import members_of, written

MOST_REMEMBERED = 10_000
TOO_MANY = 10**11
"""Tokens: no model answers so many, and what says so is no number of them."""
REQUEST_TYPE = "request_type"
"""The key's tag that says what its calls are for."""
_NEW_ONLY = ("o1", "o3", "o4", "gpt-5")
"""Families of models that refuse `max_tokens`."""
_CAPPED = (Operation.CHAT, Operation.COMPLETIONS, Operation.MESSAGES, Operation.RESPONSES)
_USUAL = "max_tokens"
_NEWER = "max_completion_tokens"
_OF_RESPONSES = "max_output_tokens"


class Cap(Struct, frozen=True, gc=False):
    """What all rules together say of a kind of call."""

    default: int | None
    most: int | None
    refused_by: str | None
    """The name of the rule that refuses a call that asks for more; None clamps it."""
    written_as: str | None


class TokenCaps:
    """Finds the caps of calls and writes them into their bodies."""

    def __init__(self, rules: Sequence[TokenCapRule]) -> None:
        self._rules = tuple(rules)
        self._types = {
            value for rule in rules for value in _values(rule.only.get("type", []))
        }  # others are all alike
        self._caps: dict[object, Cap | None] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    def apply(self, call: Call) -> None:
        """Writes the default, or the most, into the call's body. Raises Refused."""
        if call.operation not in _CAPPED:
            return
        cap = self._cap_of(call)
        if cap is None:
            return
        changed: dict[str, Raw] = {}
        usual = _OF_RESPONSES if call.operation is Operation.RESPONSES else _USUAL
        for member, raw in ((usual, call.max_tokens), (_NEWER, call.max_completion_tokens)):
            if not _said(raw):
                continue
            asked = number(raw)
            if cap.most is not None and (asked is None or asked > cap.most):
                if cap.refused_by is not None:
                    raise _refusal(cap, member, asked)
                changed[member] = Raw(b"%d" % cap.most)
        if not _said(call.max_tokens) and not _said(call.max_completion_tokens):
            default = cap.most if cap.default is None else cap.default
            if default is not None:
                changed[_member(call, cap)] = Raw(b"%d" % default)
        if changed:
            call.cut = _cut(call, changed, usual)
            members = members_of(call.body)
            members.update(changed)
            call.body = written(members)
            call.max_tokens = changed.get(usual, call.max_tokens)
            call.max_completion_tokens = changed.get(_NEWER, call.max_completion_tokens)

    def _cap_of(self, call: Call) -> Cap | None:
        caller = call.caller
        kind = type_of(call)
        if kind not in self._types:
            kind = None
        who = (caller.key_id, caller.user, caller.team, caller.tenant, caller.tags)
        key = (who, call.model, call.operation.value, kind)
        try:
            return self._caps[key]
        except KeyError:
            pass
        values = {
            "type": kind,
            "operation": call.operation.value,
            "model": call.model,
            "key": caller.key_id,
            "user": caller.user,
            "team": caller.team,
            "tenant": caller.tenant,
            **{TAG + name: value for name, value in caller.tags},
        }
        cap = _combined([rule for rule in self._rules if _concerns(rule, values)])
        if len(self._caps) >= MOST_REMEMBERED:
            self._caps.clear()
        self._caps[key] = cap
        return cap


def type_of(call: Call) -> str | None:
    """The kind of request. A key's own tag is not the client's to change."""
    for name, value in call.caller.tags:
        if name == REQUEST_TYPE:
            return value
    return call.request_type


def number(raw: Raw) -> int | None:
    """The whole number that a member is, None if it is anything else."""
    try:
        value = int(raw)
    except ValueError:
        return None
    return value if 0 <= value < TOO_MANY else None


def _cut(call: Call, changed: dict[str, Raw], usual: str) -> Cut:
    """Of the tighter one where the body has both members."""
    cuts = []
    for member, raw in changed.items():
        before = call.max_tokens if member == usual else call.max_completion_tokens
        cuts.append(Cut(int(bytes(raw)), number(before)))
    return min(cuts, key=lambda cut: cut.most)


def _combined(rules: list[TokenCapRule]) -> Cap | None:
    if not rules:
        return None
    strictest = min(
        (rule for rule in rules if rule.most is not None),
        key=lambda rule: (rule.most or 0, rule.above == "clamp"),
        default=None,
    )
    most = None if strictest is None else strictest.most
    default = next((rule.default for rule in rules if rule.default is not None), None)
    if default is not None and most is not None:
        default = min(default, most)
    refused_by = None
    if strictest is not None and strictest.above == "refuse":
        refused_by = strictest.name or "token_caps"
    written_as = next((rule.written_as for rule in rules if rule.written_as is not None), None)
    return Cap(default, most, refused_by, written_as)


def _concerns(rule: TokenCapRule, values: dict[str, str | None]) -> bool:
    return all(values.get(name) in _values(wanted) for name, wanted in rule.only.items())


def _values(values: str | list[str]) -> list[str]:
    return [values] if isinstance(values, str) else values


def _said(raw: Raw) -> bool:
    return bool(raw) and bytes(raw) != b"null"


def _member(call: Call, cap: Cap) -> str:
    if call.operation is Operation.RESPONSES:
        return _OF_RESPONSES
    if call.operation is Operation.MESSAGES:
        return _USUAL  # Anthropic's dialect has no other
    if cap.written_as is not None:
        return cap.written_as
    if call.operation is Operation.CHAT and call.model.rpartition("/")[2].startswith(_NEW_ONLY):
        return _NEWER
    return _USUAL


def _refusal(cap: Cap, member: str, asked: int | None) -> Refused:
    shown = "more than that" if asked is None else f"{asked:,}"
    return Refused(
        Reason.TOKENS_OVER_CAP,
        f"This call asks for {shown} with `{member}`, and {cap.refused_by!r} allows at most "
        f"{cap.most:,}. Ask for fewer.",
        param=member,
    )
