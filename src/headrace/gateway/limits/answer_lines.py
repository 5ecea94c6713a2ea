"""Header lines that tell a caller how it stands.

`x-ratelimit-*` as OpenAI has them (https://platform.openai.com/docs/guides/rate-limits), and
`RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10, structured fields
(RFC 9651): a policy has its quota `q`, quota unit `qu` and window `w` in seconds; `RateLimit` says
what remains, `r`, and after how many seconds all of it does, `t`.

What remains is what could be used at once: the rest of the burst, not of the window.
"""

from __future__ import annotations

import datetime
import re
from math import ceil

from headrace.gateway.limits.measures import Budget, Denied, Measures, Rate, Standing

USD = 1_000_000
_MARK = re.compile(rb"(%[%db])")


def policy_line(measures: Measures) -> bytes:
    """The `RateLimit-Policy` of all rates and limits of calls at once."""
    items = [
        b'%b;q=%d;qu="%b";w=%d'
        % (_name(rate.name), rate.quota, rate.unit.encode(), max(1, ceil(rate.window_s)))
        for rate in (*measures.requests, *measures.tokens)
    ]
    items += [
        b'%b;q=%d;qu="concurrent-requests"' % (_name(one.name), one.most)
        for one in measures.at_once
    ]
    return b"ratelimit-policy: %b\r\n" % b", ".join(items) if items else b""


class Lines:
    """What does not change in the lines of answers, made once for all callers of the same limits:
    with a hundred thousand callers it stays in the processor's caches."""

    __slots__ = ("_forms", "_only", "pieces", "policy")

    def __init__(self, measures: Measures) -> None:
        self.policy = policy_line(measures)
        self._forms: dict[tuple[object, object], bytes] = {}
        self._only: bytes | None = None
        """For requests and tokens, where there is one rate of each."""
        told = (*measures.requests, *measures.tokens)
        form = _form(self.policy, *told)
        if len(measures.requests) == 1 and len(measures.tokens) == 1:
            self._only = form
        self.pieces = _pieces(form) if told else (self.policy,)
        """All that stands between what changes from call to call, if there is at most one rate of
        each unit: for the steps in C, which do what `standing` does."""

    def standing(self, standing: Standing) -> bytes:
        """All lines of an admitted call."""
        requests, tokens = standing.requests, standing.tokens
        if requests is not None and tokens is not None:
            form = self._only or self._form_of(requests, tokens)
            owed_s, other_owed_s = standing.requests_owed_s, standing.tokens_owed_s
            left = int((requests.burst_s - owed_s) / requests.step_s + 1e-6)
            other = int((tokens.burst_s - other_owed_s) / tokens.step_s + 1e-6)
            if left < 0 or other < 0 or owed_s >= 1.0 or other_owed_s >= 1.0:
                left, reset, after = _told(requests, owed_s)
                other, other_reset, other_after = _told(tokens, other_owed_s)
            else:  # what `_told` says of nearly every call, without asking it twice
                reset, after = _BELOW_A_SECOND[ceil(owed_s * 1000)]
                other_reset, other_after = _BELOW_A_SECOND[ceil(other_owed_s * 1000)]
            text = form % (left, reset, other, other_reset, left, after, other, other_after)
        elif requests is not None:
            left, reset, after = _told(requests, standing.requests_owed_s)
            text = self._form_of(requests, None) % (left, reset, left, after)
        elif tokens is not None:
            left, reset, after = _told(tokens, standing.tokens_owed_s)
            text = self._form_of(None, tokens) % (left, reset, left, after)
        else:
            text = self.policy
        budget = standing.budget
        if budget is not None:
            text += _warning(budget, standing.spent, standing.resets_at)
        return text

    def _form_of(self, requests: Rate | None, tokens: Rate | None) -> bytes:
        key = (requests and _kind(requests), tokens and _kind(tokens))
        form = self._forms.get(key)
        if form is None:
            told = [rate for rate in (requests, tokens) if rate is not None]
            form = self._forms[key] = _form(self.policy, *told)
        return form


def _form(policy: bytes, *told: Rate) -> bytes:
    """The lines of these rates, with places for what is left and when all is there again: of each
    in turn, and then once more of each in turn."""
    lines = [policy.replace(b"%", b"%%")]
    for rate in told:
        unit = rate.unit.encode()
        lines.append(
            b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %%d\r\n"
            b"x-ratelimit-reset-%b: %%b\r\n" % (unit, rate.quota, unit, unit)
        )
    items = [b"%b;r=%%d;t=%%d" % _name(rate.name).replace(b"%", b"%%") for rate in told]
    return b"%bratelimit: %b\r\n" % (b"".join(lines), b", ".join(items))


def _pieces(form: bytes) -> tuple[bytes, ...]:
    """A form without its places: what is before, between and after them."""
    pieces = [b""]
    for part in _MARK.split(form):
        if part == b"%d" or part == b"%b":
            pieces.append(b"")
        else:
            pieces[-1] += b"%" if part == b"%%" else part
    return tuple(pieces)


def _told(rate: Rate, owed_s: float) -> tuple[int, bytes, int]:
    """Units that are left, as `gcra.free` has them, when all of them are, and that in whole
    seconds."""
    left = int((rate.burst_s - owed_s) / rate.step_s + 1e-6)
    if left < 0:
        left = 0
    if owed_s < 1.0:
        return left, *_BELOW_A_SECOND[ceil(owed_s * 1000)]
    return left, duration(owed_s), ceil(owed_s)


_BELOW_A_SECOND = tuple((b"%dms" % ms, min(ms, 1)) for ms in range(1001))
"""By milliseconds, rounded up."""


def kinds(measures: Measures) -> tuple[object, ...]:
    """The same for measures whose answers have the same lines."""
    rates = ((*_kind(rate), rate.window_s) for rate in _rates(measures))
    return (*rates, *((one.name, one.most) for one in measures.at_once))


def _rates(measures: Measures) -> tuple[Rate, ...]:
    return (*measures.requests, *measures.tokens)


def _kind(rate: Rate) -> tuple[str, str, int]:
    return rate.name, rate.unit, rate.quota


def denied_lines(denied: Denied, policy: bytes) -> bytes:
    """All lines of a refused call."""
    measure = denied.measure
    if not isinstance(measure, Rate):
        return policy
    wait_s = denied.retry_after_s
    if wait_s is None:
        return policy
    unit = measure.unit.encode()
    return (
        b"%bx-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: 0\r\n"
        b"x-ratelimit-reset-%b: %b\r\nratelimit: %b;r=0;t=%d\r\n"
    ) % (
        policy,
        unit,
        measure.quota,
        unit,
        unit,
        duration(wait_s),
        _name(measure.name),
        max(1, ceil(wait_s)),
    )


def duration(seconds: float) -> bytes:
    """As OpenAI writes it: `20ms`, `7s`, `6m0s`, `1h0m0s`."""
    if seconds < 1.0:
        return b"%dms" % ceil(seconds * 1000)
    whole = ceil(seconds)
    if whole < 60:
        return b"%ds" % whole
    if whole < 3600:
        return b"%dm%ds" % divmod(whole, 60)
    return b"%dh%dm%ds" % (whole // 3600, whole % 3600 // 60, whole % 60)


def _warning(budget: Budget, spent: int, resets_at: float) -> bytes:
    """The header of a budget that is past its soft threshold."""
    return b"x-headrace-budget-warning: %b; used=%b; of=%b; resets=%b\r\n" % (
        _name(budget.name),
        amount(budget, spent).encode(),
        amount(budget, budget.cap).encode(),
        when(resets_at).encode(),
    )


def amount(budget: Budget, units: int) -> str:
    """`$12.50`, or `1,200 tokens`."""
    if budget.unit == "tokens":
        return f"{units:,} tokens"
    cents, rest = divmod(units, USD // 100)
    if rest and units < USD:
        return f"${units / USD:.6f}".rstrip("0")
    return f"${cents // 100:,}.{cents % 100:02d}"


def when(unix: float) -> str:
    """An instant in UTC, by ISO 8601."""
    return datetime.datetime.fromtimestamp(unix, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _name(name: str) -> bytes:
    """A string of structured fields; other characters than ASCII are not of them."""
    plain = name.encode("ascii", "replace").replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'"%b"' % plain
