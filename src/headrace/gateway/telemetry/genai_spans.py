"""Spans of a call by OpenTelemetry's conventions for generative AI, as of
https://github.com/open-telemetry/semantic-conventions-genai (schema 1.42): one for the call, as
its client sees it, and one below it for each attempt on a backend. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from headrace.data.records import Settlement
from headrace.gateway.models import Target
from headrace.gateway.steps import Go
from headrace.gateway.telemetry.content import content_of
from headrace.gateway.telemetry.trace import attempt_id
from headrace.gateway.telemetry.tracing import Kept, failed
from headrace.nouns import PASSED_ON, Operation
from headrace.platform.http.messages import Origin
from headrace.platform.telemetry.spans import Alike, Span, SpanKind, Value

OPERATIONS: dict[str, str] = {
    Operation.CHAT: "chat",
    Operation.MESSAGES: "chat",
    Operation.RESPONSES: "chat",
    Operation.COMPLETIONS: "text_completion",
    Operation.EMBEDDINGS: "embeddings",
    Operation.COUNT_TOKENS: "count_tokens",
    **{operation: operation.value for operation in PASSED_ON},
}
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "aws": "aws.bedrock",
    "mistral": "mistral_ai",
    "x-ai": "x_ai",
    "google": "gcp.gemini",
}
"""Ours, where the conventions have another name."""
_FINE = frozenset({"ok", "running", "lost", "cancelled"})
_PARTS = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.audio.input_tokens",
    "gen_ai.usage.audio.output_tokens",
)
_counts_of_parts = attrgetter(
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
)


_NOTHING: Mapping[str, Value] = {}
MOST_ALIKE = 1_000
"""Of what spans have alike, so many are remembered. Names of models may be a client's."""


class CallSpans:
    """Makes spans. What calls have alike is made once, without secrets. For one thread, but for
    `forget`."""

    def __init__(self, scrub: Callable[[str], str], content_bytes: int) -> None:
        """`scrub` takes secrets out of names that clients chose and of what was said, of which
        `content_bytes` are told at most."""
        self._scrub = scrub
        self._content_bytes = content_bytes
        self._alike: dict[tuple[object, ...], Alike] = {}

    def forget(self) -> None:
        """Other secrets may be known now."""
        self._alike = {}

    def of(self, calls: Sequence[Kept]) -> list[Span]:
        """Of each call its own first, then those of its attempts in order."""
        scrub = self._scrub
        ids = "\0".join([kept.row.call for kept in calls])
        clean = scrub(ids) == ids  # one search: most hold no secret
        spans: list[Span] = []
        for kept in calls:
            spans += self._spans(kept, kept.row.call if clean else scrub(kept.row.call))
        return spans

    def _spans(self, kept: Kept, call_id: str) -> list[Span]:
        trace, row = kept.trace, kept.row
        trace_id, number = bytes.fromhex(trace.id), trace.span_id
        span_id, state = number.to_bytes(8), ""
        if trace.state:
            state = trace.state.decode("ascii")
            state = state if self._scrub(state) == state else ""
        mine: dict[str, Value] = {"headrace.call.id": call_id}
        told = mine if row.usage_source == "none" else _with_usage(mine, row)
        wall_ns, ended = row.at_us * 1000, kept.ended
        spans = [
            Span(
                self._of_call(kept),
                trace_id,
                span_id,
                b"" if trace.parent_id is None else trace.parent_id.to_bytes(8),
                True,
                wall_ns - int((ended - kept.received_at) * 1e9),
                wall_ns,
                told,
                self._own(kept),
                failed(row),
                state,
            )
        ]
        sent_to = trace.sent_to
        last = len(sent_to)
        for at, (go, (target, origin)) in enumerate(_asked(trace.attempts, sent_to), 1):
            began, until = kept.received_at, ended
            if go is not None:
                began, until = go.began, ended if go.ended is None else go.ended
            spans.append(
                Span(
                    self._of_attempt(row, go, target, origin),
                    trace_id,
                    attempt_id(number, at).to_bytes(8),
                    span_id,
                    False,
                    wall_ns - int((ended - began) * 1e9),
                    wall_ns - int((ended - until) * 1e9),
                    told if at == last and target is kept.target else mine,
                    _NOTHING,
                    go is not None and go.result not in _FINE,
                    state,
                )
            )
        return spans

    def _own(self, kept: Kept) -> dict[str, Value]:
        """What is the call's alone, and of none of its attempts."""
        row = kept.row
        found: dict[str, Value] = {}
        if row.stream and kept.first_content_at is not None:
            first_s = kept.first_content_at - kept.received_at
            found["gen_ai.response.time_to_first_chunk"] = round(first_s, 6)
        if row.cost_microusd is not None:
            found["headrace.cost_usd"] = row.cost_microusd / 1_000_000
        if kept.said is not None:
            said = content_of(Operation(row.operation), kept.said, self._content_bytes, self._scrub)
            found |= self._scrubbed(said)
        return found

    def _of_call(self, kept: Kept) -> Alike:
        row, target = kept.row, kept.target
        provider = None if target is None else target.service.provider
        key = (
            row.operation, provider, row.backend, row.model, row.stream, kept.limit,
            row.status, row.finish, row.attempts, row.answered_by, row.reason, row.key, row.tenant,
            row.team, row.user,
        )  # fmt: skip
        found = self._alike.get(key)
        if found is None:
            found = self._kept(key, _name(row, row.model), SpanKind.SERVER, _call_attributes(kept))
        return found

    def _of_attempt(self, row: Settlement, go: Go | None, target: Target, origin: Origin) -> Alike:
        move, result = (None, None) if go is None else (go.move, go.result)
        model = target.model or row.model
        key = (
            row.operation, target.service.provider, target.name, model, row.stream, target.region,
            origin, move, result,
        )  # fmt: skip
        found = self._alike.get(key)
        if found is None:
            values = _attempt_attributes(row, go, target, origin)
            found = self._kept(key, _name(row, model), SpanKind.CLIENT, values)
        return found

    def _kept(
        self, key: tuple[object, ...], name: str, kind: SpanKind, values: dict[str, Value]
    ) -> Alike:
        known = self._alike
        if len(known) >= MOST_ALIKE:
            known.clear()
        made = known[key] = Alike(self._scrub(name), kind, self._scrubbed(values))
        return made

    def _scrubbed(self, values: dict[str, Value]) -> dict[str, Value]:
        return {
            name: self._scrub(value) if isinstance(value, str) else value
            for name, value in values.items()
        }


def _asked(
    attempts: Sequence[Go], sent_to: Sequence[tuple[Target, Origin]]
) -> Sequence[tuple[Go | None, tuple[Target, Origin]]]:
    """Each request that was sent, with the attempt that sent it. Attempts that sent nothing, as
    the queue before their backend was full, are passed over."""
    if len(attempts) == len(sent_to) == 1 and attempts[0].backend.name == sent_to[0][0].name:
        return ((attempts[0], sent_to[0]),)
    left, asked = sorted(attempts, key=_began), []
    for one in sent_to:
        go = next((go for go in left if go.backend.name == one[0].name), None)
        if go is not None:
            left.remove(go)
        asked.append((go, one))
    return asked


_began = attrgetter("began")


def _call_attributes(kept: Kept) -> dict[str, Value]:
    """What many calls have alike."""
    row, limit = kept.row, kept.limit
    found: dict[str, Value] = {
        "gen_ai.operation.name": OPERATIONS[row.operation],
        "gen_ai.provider.name": provider_of(kept.target),
        "gen_ai.request.model": row.model,
        "gen_ai.request.stream": row.stream,
        "http.response.status_code": row.status,
        "headrace.key.id": row.key,
        "headrace.tenant": row.tenant,
        "headrace.finish": row.finish,
        "headrace.attempts": row.attempts,
        "headrace.answered_by": row.answered_by,
    }
    for name, value in (("team", row.team), ("user", row.user), ("backend", row.backend)):
        if value is not None:
            found[f"headrace.{name}"] = value
    if limit.isdigit() and len(limit) < 12:
        found["gen_ai.request.max_tokens"] = int(limit)
    if row.reason is not None:
        found["error.type"] = row.reason
    return found


def _attempt_attributes(
    row: Settlement, go: Go | None, target: Target, origin: Origin
) -> dict[str, Value]:
    """What many attempts have alike."""
    found: dict[str, Value] = {
        "gen_ai.operation.name": OPERATIONS[row.operation],
        "gen_ai.provider.name": provider_of(target),
        "gen_ai.request.model": target.model or row.model,
        "gen_ai.request.stream": row.stream,
        "server.address": origin.host,
        "server.port": origin.port,
        "headrace.backend": target.name,
    }
    if go is not None:
        found["headrace.attempt.move"] = go.move.value
        found["headrace.attempt.result"] = go.result
        if go.result not in _FINE:
            found["error.type"] = go.result
    if target.region is not None:
        found["cloud.region"] = target.region
    return found


def _with_usage(mine: dict[str, Value], row: Settlement) -> dict[str, Value]:
    counts = zip(_PARTS, _counts_of_parts(row), strict=True)
    return {
        **mine,
        "gen_ai.usage.input_tokens": row.input_tokens,
        "gen_ai.usage.output_tokens": row.output_tokens,
        **{name: count for name, count in counts if count},
    }


def _name(row: Settlement, model: str) -> str:
    return f"{OPERATIONS[row.operation]} {model}"


def provider_of(target: Target | None) -> str:
    """As the conventions name it."""
    if target is None:
        return "headrace"
    name = target.service.provider
    return _PROVIDERS.get(name, name)
