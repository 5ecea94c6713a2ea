"""Spans of a call by OpenTelemetry's conventions for generative AI, as of
https://github.com/open-telemetry/semantic-conventions-genai (schema 1.42): one for the call, as
its client sees it, and one below it for each attempt on a backend. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter

from headrace.gateway.models import Target
from headrace.gateway.steps import Go
from headrace.gateway.telemetry.content import content_of
from headrace.gateway.telemetry.trace import attempt_id
from headrace.gateway.telemetry.tracing import Kept, failed
from headrace.nouns import PASSED_ON, Call, Operation, Usage
from headrace.platform.http.messages import Origin
from headrace.platform.telemetry.spans import Shared, Span, SpanKind, Value

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


MOST_SHARED = 1_000
"""Sets of attributes that are remembered. Names of models may be a client's."""


class CallSpans:
    """Makes spans. What calls have alike is made once and shared. For one thread."""

    def __init__(self, scrub: Callable[[str], str], content_bytes: int) -> None:
        """`scrub` takes secrets out of what was said, of which `content_bytes` are told at most."""
        self._scrub = scrub
        self._content_bytes = content_bytes
        self._shared: dict[tuple[object, ...], Shared] = {}

    def of(self, kept: Kept) -> Iterator[Span]:
        """The call's first, then those of its attempts in order."""
        trace, call, progress = kept.trace, kept.call, kept.progress
        state, own = trace.state.decode("ascii"), _own(kept)
        told = Shared({"headrace.call.id": call.id, **_usage(kept.usage)})
        if kept.said is not None:
            own |= content_of(call.operation, kept.said, self._content_bytes, self._scrub)
        yield Span(
            name=_name(call, call.model),
            kind=SpanKind.SERVER,
            trace_id=trace.trace_id,
            span_id=trace.span_id,
            parent_id=trace.parent_id,
            parent_is_remote=True,
            start_ns=_unix_ns(kept, call.received_at),
            end_ns=kept.wall_ns,
            attributes=own,
            failed=failed(progress),
            trace_state=state,
            shared=(self._of_call(kept), told),
        )
        last = len(trace.sent_to)
        for number, (go, (target, origin)) in enumerate(_asked(kept), 1):
            ended = kept.ended if go is None or go.ended is None else go.ended
            ends_it = number == last and target is progress.target
            its_own = told if ends_it else Shared({"headrace.call.id": call.id})
            yield Span(
                name=_name(call, target.model or call.model),
                kind=SpanKind.CLIENT,
                trace_id=trace.trace_id,
                span_id=attempt_id(trace.span_id, number),
                parent_id=trace.span_id,
                parent_is_remote=False,
                start_ns=_unix_ns(kept, call.received_at if go is None else go.began),
                end_ns=_unix_ns(kept, ended),
                attributes={},
                failed=go is not None and go.result not in _FINE,
                trace_state=state,
                shared=(self._of_attempt(call, go, target, origin), its_own),
            )

    def _of_call(self, kept: Kept) -> Shared:
        call, progress, caller = kept.call, kept.progress, kept.call.caller
        target = progress.target
        name = None if target is None else target.name
        limit = bytes(call.max_completion_tokens) or bytes(call.max_tokens)
        key = (
            call.operation, provider_of(target), name, call.model, call.stream, limit,
            progress.status, progress.finish, progress.attempts, progress.answerer,
            progress.reason, caller.key_id, caller.tenant, caller.team, caller.user,
        )  # fmt: skip
        found = self._shared.get(key)
        return self._kept(key, _call_attributes(kept, limit)) if found is None else found

    def _of_attempt(self, call: Call, go: Go | None, target: Target, origin: Origin) -> Shared:
        move, result = (None, None) if go is None else (go.move, go.result)
        key = (
            call.operation, provider_of(target), target.name, target.model or call.model,
            call.stream, target.region, origin.host, origin.port, move, result,
        )  # fmt: skip
        found = self._shared.get(key)
        if found is None:
            found = self._kept(key, _attempt_attributes(call, go, target, origin))
        return found

    def _kept(self, key: tuple[object, ...], values: dict[str, Value]) -> Shared:
        if len(self._shared) >= MOST_SHARED:
            self._shared.clear()
        made = self._shared[key] = Shared(values)
        return made


def _asked(kept: Kept) -> Iterator[tuple[Go | None, tuple[Target, Origin]]]:
    """Each request that was sent, with the attempt that sent it. Attempts that sent nothing, as
    the queue before their backend was full, are passed over."""
    attempts = sorted(kept.trace.attempts, key=_began)
    for target, origin in kept.trace.sent_to:
        go = next((go for go in attempts if go.backend.name == target.name), None)
        if go is not None:
            attempts.remove(go)
        yield go, (target, origin)


_began = attrgetter("began")


def _call_attributes(kept: Kept, limit: bytes) -> dict[str, Value]:
    """What many calls have alike."""
    call, progress, caller = kept.call, kept.progress, kept.call.caller
    found: dict[str, Value] = {
        "gen_ai.operation.name": OPERATIONS[call.operation],
        "gen_ai.provider.name": provider_of(progress.target),
        "gen_ai.request.model": call.model,
        "gen_ai.request.stream": call.stream,
        "http.response.status_code": progress.status,
        "headrace.key.id": caller.key_id,
        "headrace.tenant": caller.tenant,
        "headrace.finish": progress.finish,
        "headrace.attempts": progress.attempts,
        "headrace.answered_by": progress.answerer,
    }
    for name, value in (("team", caller.team), ("user", caller.user)):
        if value is not None:
            found[f"headrace.{name}"] = value
    if limit.isdigit() and len(limit) < 12:
        found["gen_ai.request.max_tokens"] = int(limit)
    if progress.target is not None:
        found["headrace.backend"] = progress.target.name
    if progress.reason is not None:
        found["error.type"] = progress.reason
    return found


def _own(kept: Kept) -> dict[str, Value]:
    """What is the call's alone, and of none of its attempts."""
    call, progress = kept.call, kept.progress
    found: dict[str, Value] = {}
    if call.stream and progress.first_content_at is not None:
        first_s = progress.first_content_at - call.received_at
        found["gen_ai.response.time_to_first_chunk"] = round(first_s, 6)
    if progress.cost_microusd is not None:
        found["headrace.cost_usd"] = progress.cost_microusd / 1_000_000
    return found


def _attempt_attributes(
    call: Call, go: Go | None, target: Target, origin: Origin
) -> dict[str, Value]:
    """What many attempts have alike."""
    found: dict[str, Value] = {
        "gen_ai.operation.name": OPERATIONS[call.operation],
        "gen_ai.provider.name": provider_of(target),
        "gen_ai.request.model": target.model or call.model,
        "gen_ai.request.stream": call.stream,
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


def _usage(usage: Usage) -> dict[str, Value]:
    if usage.source == "none":
        return {}
    found: dict[str, Value] = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
    counts = _counts_of_parts(usage)
    if any(counts):
        found |= {name: count for name, count in zip(_PARTS, counts, strict=True) if count}
    return found


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
