"""When each event goes out, and in what bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from headrace_upstream.behaviour import Behaviour
from headrace_upstream.reply import Beat, Send, Wait
from headrace_upstream.template import Event


class Pace:
    """Turns events into beats; remembers whether the first token has been spoken."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._eol = b"\r\n" if behaviour.eol == "crlf" else b"\n"
        self._spoken = False
        self._count = 0

    def play(self, events: Iterable[Event]) -> Iterator[Beat]:
        """The events at the behaviour's pace. May be called again to go on."""
        if self._behaviour.writes == "one" and not self._behaviour.gap_ms:
            yield from self._together(events)
            return
        for event in events:
            yield from self._waits(event)
            yield Send(self.wire(event), event.tokens)
            if self._behaviour.writes == "each":
                yield Wait(0)

    def wire(self, event: Event) -> bytes:
        self._count += 1
        every = self._behaviour.comment_every
        comment = b": keep-alive" + self._eol * 2 if every and self._count % every == 0 else b""
        return comment + event.wire(self._eol)

    def _together(self, events: Iterable[Event]) -> Iterator[Beat]:
        listed = list(events)
        if any(event.tokens for event in listed):
            yield from self._waits(next(event for event in listed if event.tokens))
        yield Send(b"".join(map(self.wire, listed)), sum(event.tokens for event in listed))

    def _waits(self, event: Event) -> Iterator[Beat]:
        if not event.tokens:
            return
        wait_ms = self._behaviour.gap_ms if self._spoken else self._behaviour.ttft_ms
        self._spoken = True
        if wait_ms > 0:
            yield Wait(wait_ms / 1000)


def whole_wait_s(behaviour: Behaviour, tokens: int) -> float:
    """How long a whole answer takes: as long as its stream would."""
    return (behaviour.ttft_ms + behaviour.gap_ms * max(tokens - 1, 0)) / 1000


def split_events(events: Sequence[Event], after: int) -> tuple[Sequence[Event], Sequence[Event]]:
    """The events up to and with the `after`th that carries a token, and the rest; see `faults`
    for what 0 and -1 mean."""
    if after < 0:
        return [], events
    seen = 0
    for at, event in enumerate(events):
        if event.tokens:
            if seen == after:
                return events[:at], events[at:]
            seen += 1
    end = next((at for at, event in enumerate(events) if event.terminal), len(events))
    return events[:end], events[end:]
