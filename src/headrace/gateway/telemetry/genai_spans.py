"""Spans of a call by OpenTelemetry's conventions for generative AI, as of
https://github.com/open-telemetry/semantic-conventions-genai (schema 1.42): one for the call, as
its client sees it, and one below it for each attempt on a backend. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.gateway.models import Target
from headrace.gateway.steps import Go
from headrace.gateway.telemetry.trace import attempt_id
from headrace.gateway.telemetry.tracing import Kept, failed
from headrace.nouns import PASSED_ON, Call, Operation, Usage
from headrace.platform.http.messages import Origin
from headrace.platform.telemetry.spans import Span, SpanKind, Value

OPERATIONS = {
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
_TOKENS = (
    ("gen_ai.usage.input_tokens", "input_tokens"),
    ("gen_ai.usage.output_tokens", "output_tokens"),
    ("gen_ai.usage.cache_read.input_tokens", "cached_tokens"),
    ("gen_ai.usage.cache_creation.input_tokens", "cache_write_tokens"),
    ("gen_ai.usage.reasoning.output_tokens", "reasoning_tokens"),
    ("gen_ai.usage.audio.input_tokens", "audio_input_tokens"),
    ("gen_ai.usage.audio.output_tokens", "audio_output_tokens"),
)


def spans_of(kept: Kept) -> Iterator[Span]:
    """The call's first, then those of its attempts in order."""
    trace, call, progress = kept.trace, kept.call, kept.progress
    state = trace.state.decode("ascii")
    yield Span(
        name=_name(call, call.model),
        kind=SpanKind.SERVER,
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        parent_id=trace.parent_id,
        parent_is_remote=True,
        start_ns=_unix_ns(kept, call.received_at),
        end_ns=kept.wall_ns,
        attributes=_call_attributes(kept),
        failed=failed(progress),
        trace_state=state,
    )
    last = len(trace.sent_to)
    for number, (go, (target, origin)) in enumerate(_asked(kept), 1):
        ended = kept.ended if go is None or go.ended is None else go.ended
        result = "ok" if go is None else go.result
        yield Span(
            name=_name(call, target.model or call.model),
            kind=SpanKind.CLIENT,
            trace_id=trace.trace_id,
            span_id=attempt_id(trace.span_id, number),
            parent_id=trace.span_id,
            parent_is_remote=False,
            start_ns=_unix_ns(kept, call.received_at if go is None else go.began),
            end_ns=_unix_ns(kept, ended),
            attributes=_attempt_attributes(kept, go, target, origin, number == last),
            failed=result not in _FINE,
            trace_state=state,
        )


def _asked(kept: Kept) -> Iterator[tuple[Go | None, tuple[Target, Origin]]]:
    """Each request that was sent, with the attempt that sent it. Attempts that sent nothing, as
    the queue before their backend was full, are passed over."""
    attempts = sorted(kept.trace.attempts, key=lambda go: go.began)
    for target, origin in kept.trace.sent_to:
        go = next((go for go in attempts if go.backend.name == target.name), None)
        if go is not None:
            attempts.remove(go)
        yield go, (target, origin)


def _call_attributes(kept: Kept) -> dict[str, Value]:
    call, progress, caller = kept.call, kept.progress, kept.call.caller
    found: dict[str, Value] = {
        "gen_ai.operation.name": OPERATIONS[call.operation],
        "gen_ai.provider.name": provider_of(progress.target),
        "gen_ai.request.model": call.model,
        "gen_ai.request.stream": call.stream,
        "http.response.status_code": progress.status,
        "headrace.call.id": call.id,
        "headrace.key.id": caller.key_id,
        "headrace.tenant": caller.tenant,
        "headrace.finish": progress.finish,
        "headrace.attempts": progress.attempts,
        "headrace.answered_by": progress.answerer,
    }
    for name, value in (("team", caller.team), ("user", caller.user)):
        if value is not None:
            found[f"headrace.{name}"] = value
    limit = bytes(call.max_completion_tokens) or bytes(call.max_tokens)
    if limit.isdigit() and len(limit) < 12:
        found["gen_ai.request.max_tokens"] = int(limit)
    if call.stream and progress.first_content_at is not None:
        first_s = progress.first_content_at - call.received_at
        found["gen_ai.response.time_to_first_chunk"] = round(first_s, 6)
    if progress.cost_microusd is not None:
        found["headrace.cost_usd"] = progress.cost_microusd / 1_000_000
    if progress.target is not None:
        found["headrace.backend"] = progress.target.name
    if progress.reason is not None:
        found["error.type"] = progress.reason
    return found | _usage(kept.usage)


def _attempt_attributes(
    kept: Kept, go: Go | None, target: Target, origin: Origin, last: bool
) -> dict[str, Value]:
    call = kept.call
    found: dict[str, Value] = {
        "gen_ai.operation.name": OPERATIONS[call.operation],
        "gen_ai.provider.name": provider_of(target),
        "gen_ai.request.model": target.model or call.model,
        "gen_ai.request.stream": call.stream,
        "server.address": origin.host,
        "server.port": origin.port,
        "headrace.backend": target.name,
        "headrace.call.id": call.id,
    }
    if go is not None:
        found["headrace.attempt.move"] = go.move.value
        found["headrace.attempt.result"] = go.result
        if go.result not in _FINE:
            found["error.type"] = go.result
    if target.region is not None:
        found["cloud.region"] = target.region
    if last and target is kept.progress.target:
        found |= _usage(kept.usage)
    return found


def _usage(usage: Usage) -> dict[str, Value]:
    if usage.source == "none":
        return {}
    counts = [(name, getattr(usage, field)) for name, field in _TOKENS]
    return dict(counts[:2]) | {n: c for n, c in counts[2:] if c}


def _name(call: Call, model: str) -> str:
    return f"{OPERATIONS[call.operation]} {model}"


def provider_of(target: Target | None) -> str:
    """As the conventions name it."""
    if target is None:
        return "headrace"
    name = target.service.provider
    return _PROVIDERS.get(name, name)


def _unix_ns(kept: Kept, at: float) -> int:
    return kept.wall_ns - int((kept.ended - at) * 1e9)
