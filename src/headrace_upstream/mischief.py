"""From a request, a behaviour and its rendering to a reply, with the behaviour's fault in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from headrace_upstream import anthropic, bedrock, cohere, google, openai, responses
from headrace_upstream.asked import Asked
from headrace_upstream.behaviour import Behaviour
from headrace_upstream.faults import (
    BadSse,
    Cut,
    Endless,
    ErrorEvent,
    HugeHeaders,
    MissingDone,
    SlowFirstToken,
    Stall,
    WrongContentType,
)
from headrace_upstream.pace import Pace, split_events, whole_wait_s
from headrace_upstream.refusals import refusal
from headrace_upstream.reply import Beat, End, Framing, Hang, Reply, Send, Wait, split
from headrace_upstream.substitutes import refused, substitute
from headrace_upstream.template import Event, Filling, Rendering

_CUT_FRAMING: dict[str, Framing] = {
    "eof": "close",
    "rst": "close",
    "clean_end": "chunked",
    "broken_chunk": "chunked",
}


class Scene(NamedTuple):
    """All that a reply is made from. `now_s` is the provider's clock, skewed where scripted."""

    asked: Asked
    behaviour: Behaviour
    rendering: Rendering
    filling: Filling
    now_s: float


def staged(scene: Scene) -> Reply:
    """The reply of this scene, with every field of the behaviour applied."""
    behaviour = scene.behaviour
    dialect = scene.asked.route.dialect
    reply = substitute(behaviour.fault, dialect, scene.asked.model, scene.now_s)
    if reply is None and not 200 <= behaviour.status < 300:
        reply = refused(refusal(dialect, behaviour.status))
    if reply is None:
        reply = _stream(scene) if scene.asked.stream and scene.rendering.events else _body(scene)
    return _dressed(reply, behaviour)


def _dressed(reply: Reply, behaviour: Behaviour) -> Reply:
    """Framing, splitting, waits and headers, which fit any reply."""
    fault = behaviour.fault
    headers = [*reply.headers, *behaviour.headers.items()]
    if isinstance(fault, WrongContentType):
        reply.content_type, reply.fault = fault.content_type.encode(), fault.kind
    if isinstance(fault, HugeHeaders):
        each = max(fault.bytes // max(fault.count, 1), 1)
        headers += [(f"x-padding-{at}", "p" * each) for at in range(fault.count)]
        reply.fault = fault.kind
    beats = reply.beats
    if behaviour.split is not None and reply.framing != "none":
        beats = split(beats, behaviour.split, behaviour.split_gap_ms / 1000)
    framing = reply.framing
    if behaviour.framing != "auto" and framing != "none":
        framing = behaviour.framing
        if framing == "length" and reply.framing != "length":
            beats, reply.length = _measured(beats)
    return replace(
        reply,
        beats=beats,
        headers=headers,
        framing=framing,
        head_s=reply.head_s + behaviour.head_ms / 1000,
        keep_alive=reply.keep_alive and behaviour.keep_alive,
    )


def _measured(beats: Iterable[Beat]) -> tuple[list[Beat], int]:
    listed = list(beats)
    return listed, sum(len(beat.data) for beat in listed if isinstance(beat, Send))


def _body(scene: Scene) -> Reply:
    """A whole answer."""
    fault, rendering = scene.behaviour.fault, scene.rendering
    body = rendering.filled_body(scene.filling)
    reply = Reply(
        status=scene.behaviour.status,
        content_type=rendering.content_type,
        length=len(body),
        tokens_in=scene.filling.tokens_in,
        tokens_out=rendering.tokens_out,
        head_s=whole_wait_s(scene.behaviour, rendering.tokens_out),
        fault=fault.kind if fault else None,
        beats=[Send(body, rendering.tokens_out)],
    )
    half = len(body) // 2
    match fault:
        case Cut():
            at = half if fault.at_byte is None else fault.at_byte
            if fault.how in ("clean_end", "broken_chunk"):
                reply.framing = "chunked"
            reply.beats = [Send(body[:at]), End(fault.how)]
        case Stall():
            wait: Beat = Hang() if fault.for_ms is None else Wait(fault.for_ms / 1000)
            reply.beats = [Send(body[:half]), wait, Send(body[half:], rendering.tokens_out)]
        case SlowFirstToken():
            reply.beats = [Wait(fault.wait_ms / 1000), *reply.beats]
        case BadSse():
            return replace(reply, length=half, beats=[Send(body[:half])])
        case ErrorEvent():
            refused_body = refused(refusal(scene.asked.route.dialect, 500, fault.message), fault)
            return replace(refused_body, status=200)
        case Endless():
            reply.framing = "chunked"
            reply.beats = _endless_body(body, fault)
    return reply


def _stream(scene: Scene) -> Reply:
    fault, rendering = scene.behaviour.fault, scene.rendering
    framing: Framing = "chunked"
    if isinstance(fault, Cut):
        framing = _CUT_FRAMING[fault.how]
    return Reply(
        status=scene.behaviour.status,
        content_type=rendering.content_type,
        framing=framing,
        tokens_in=scene.filling.tokens_in,
        tokens_out=rendering.tokens_out,
        fault=fault.kind if fault else None,
        beats=_bent(scene, rendering.filled_events(scene.filling), Pace(scene.behaviour)),
    )


def _bent(scene: Scene, events: list[Event], pace: Pace) -> Iterator[Beat]:
    """The stream's beats, with a fault where the behaviour wants one."""
    fault = scene.behaviour.fault
    match fault:
        case Cut(at_byte=at_byte) if at_byte is not None:
            whole = b"".join(map(pace.wire, events))
            yield Send(whole[:at_byte])
            yield End(fault.how)
        case Cut():
            yield from pace.play(split_events(events, fault.after)[0])
            yield End(fault.how)
        case Stall():
            before, rest = split_events(events, fault.after)
            yield from pace.play(before)
            yield from _stall(scene, fault, pace)
            yield from pace.play(rest)
        case SlowFirstToken():
            preamble, rest = split_events(events, 0)
            yield from pace.play(preamble)
            yield Wait(fault.wait_ms / 1000)
            yield from pace.play(rest)
        case ErrorEvent():
            yield from pace.play(split_events(events, fault.after)[0])
            yield Send(pace.wire(_error_event(scene, fault.message)))
            if fault.then == "rst":
                yield End("rst")
            elif fault.then == "done":
                yield from pace.play([event for event in events if event.terminal])
        case BadSse():
            before, rest = split_events(events, fault.after)
            yield from pace.play(before)
            yield Send(_malformed(fault, pace, rest))
            yield from pace.play(rest)
        case MissingDone():
            yield from pace.play([event for event in events if not event.terminal])
        case Endless():
            before, rest = split_events(events, 0)
            yield from pace.play(before)
            yield from _endless_events(rest, fault, pace)
        case _:
            yield from pace.play(events)


def _stall(scene: Scene, fault: Stall, pace: Pace) -> Iterator[Beat]:
    anthropic_ping = scene.asked.route.dialect == "anthropic"
    ping = pace.wire(anthropic.ping()) if anthropic_ping else b": ping\n\n"
    every_s = None if fault.pings_every_ms is None else fault.pings_every_ms / 1000
    if fault.for_ms is None:
        yield Hang(every_s, ping)
        return
    left_s = fault.for_ms / 1000
    while every_s and left_s > every_s:
        yield Wait(every_s)
        yield Send(ping)
        left_s -= every_s
    yield Wait(left_s)


def _error_event(scene: Scene, message: str) -> Event:
    if scene.asked.route.dialect == "anthropic":
        return anthropic.error_event(message)
    if scene.asked.route.dialect == "bedrock":
        return bedrock.error_event(message)
    if scene.asked.route.dialect == "cohere":
        return cohere.error_event(message)
    if scene.asked.route.dialect == "google":
        return google.error_event(message)
    if scene.asked.route.api == "responses":
        return responses.error_event(message)
    return openai.error_event(message)


def _malformed(fault: BadSse, pace: Pace, rest: list[Event] | Iterable[Event]) -> bytes:
    following = next(iter(rest), openai.DONE)
    match fault.form:
        case "bad_json":
            return pace.wire(Event(b'{"id": "chatcmpl-', following.name, framed=following.framed))
        case "garbage":
            return b"\xff\xfe\x00 not a field \xc3\x28\n\n"
        case "no_blank_line":
            return following.wire()[:-1]
        case "huge_event":
            start = b'{"type":"ping"' if following.name else b'{"choices":[]'
            filler = b'%b,"filler":"%b"}' % (start, b"x" * max(fault.bytes - 26, 0))
            return pace.wire(Event(filler, following.name and b"ping"))
    return b"<html><body><h1>502 Bad Gateway</h1></body></html>\n\n"


def _endless_events(rest: Iterable[Event], fault: Endless, pace: Pace) -> Iterator[Beat]:
    """The first token's event over and over, its text lengthened to `event_bytes`."""
    model = next((event for event in rest if event.tokens), openai.DONE)
    one = pace.wire(
        Event(_lengthened(model.data, fault.event_bytes), model.name, framed=model.framed)
    )
    for _ in range(-(-fault.bytes // len(one))):
        yield Send(one, 1)
    yield from pace.play([event for event in rest if not event.tokens])


def _lengthened(data: bytes, size: int) -> bytes:
    for key in (b'"content":"', b'"text":"', b'"partial_json":"', b'"arguments":"', b'"delta":"'):
        at = data.find(key)
        if at >= 0:
            at += len(key)
            return data[:at] + b"x" * max(size - len(data), 0) + data[at:]
    return data


def _endless_body(body: bytes, fault: Endless) -> Iterator[Beat]:
    at = body.find(b'"content":"')
    at = at + 11 if at >= 0 else body.find(b'"text":"') + 8
    block = b"x" * fault.event_bytes
    yield Send(body[:at])
    for _ in range(-(-fault.bytes // len(block))):
        yield Send(block)
    yield Send(body[at:])
