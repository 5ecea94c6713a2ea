"""From a request and a behaviour to the precomputed answer, cached where it can be."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from headrace_upstream import (
    anthropic,
    azure,
    bedrock,
    cohere,
    google,
    mistral,
    ollama,
    openai,
    responses,
)
from headrace_upstream.answer import Answer, answer_to
from headrace_upstream.asked import Asked, Reader
from headrace_upstream.behaviour import Behaviour
from headrace_upstream.reply import EVENT_STREAM, JSON
from headrace_upstream.template import Event, Rendering

_MOST_KEPT = 1024
READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "google": google.body_of,
        "mistral": mistral.body_of,
        "ollama": ollama.body_of,
        "bedrock": bedrock.body_of,
        "cohere": cohere.body_of,
    }
)


class Renderings:
    """Renderings by behaviour and shape of request. Bounded: emptied when full."""

    def __init__(self) -> None:
        self._kept: dict[object, tuple[Behaviour, Rendering]] = {}

    def of(self, asked: Asked, behaviour: Behaviour) -> Rendering:
        """The answer that `behaviour` gives to `asked`."""
        shape = None if behaviour.echo else asked.shape
        if shape is None:
            return _rendered(asked, behaviour)
        key = (id(behaviour), shape)
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            # The behaviour is kept too, so that its id stays its own.
            kept = self._kept[key] = (behaviour, _rendered(asked, behaviour))
        return kept[1]


def _rendered(asked: Asked, behaviour: Behaviour) -> Rendering:
    rendering = render(asked, behaviour)
    rendering.plain = behaviour.is_plain
    return rendering


def render(asked: Asked, behaviour: Behaviour) -> Rendering:
    """Makes the answer anew."""
    route = asked.route
    if route.api == "embeddings":
        if route.dialect == "google":
            listed = google.embeddings(asked, behaviour.dimensions)
            return Rendering(JSON, 0, msgspec.json.encode(listed))
        if route.dialect == "cohere":
            found = cohere.embeddings(asked, behaviour.dimensions)
            return Rendering(JSON, 0, msgspec.json.encode(found))
        model = behaviour.model or asked.model
        listed = openai.embeddings(asked, model, behaviour.dimensions)
        return Rendering(JSON, 0, msgspec.json.encode(listed))
    if route.api == "count_tokens":
        counted = {"input_tokens": asked.tokens_in}
        if route.dialect == "google":
            counted = google.count(asked)
        return Rendering(JSON, 0, msgspec.json.encode(counted))
    answer = answer_to(asked, behaviour)
    if asked.stream:
        kind = bedrock.EVENT_STREAM if route.dialect == "bedrock" else EVENT_STREAM
        return Rendering(kind, answer.tokens_out, events=_events(asked, answer))
    return Rendering(JSON, answer.tokens_out, msgspec.json.encode(_whole(asked, answer)))


def _whole(asked: Asked, answer: Answer) -> dict[str, object]:
    if asked.route.api == "responses":
        return responses.whole(asked, answer)
    if asked.route.dialect == "anthropic":
        return anthropic.whole(answer)
    if asked.route.dialect == "google":
        return google.blocked(answer) if answer.filter == "blocked" else google.whole(asked, answer)
    if asked.route.dialect == "bedrock":
        return bedrock.whole(answer)
    if asked.route.dialect == "cohere":
        return cohere.whole(answer)
    if asked.route.api == "completions":
        return openai.whole_completion(asked, answer)
    if asked.route.dialect == "azure":
        return azure.whole(asked, answer)
    if asked.route.dialect == "mistral":
        return mistral.whole(asked, answer)
    if asked.route.dialect == "ollama":
        return ollama.whole(openai.whole_chat(asked, answer))
    return openai.whole_chat(asked, answer)


def _events(asked: Asked, answer: Answer) -> list[Event]:
    if asked.route.api == "responses":
        return responses.events(asked, answer)
    if asked.route.dialect == "anthropic":
        return anthropic.events(answer)
    if asked.route.dialect == "google":
        if answer.filter == "blocked":
            return [Event(msgspec.json.encode(google.blocked(answer)), terminal=True)]
        return google.events(asked, answer)
    if asked.route.dialect == "bedrock":
        return bedrock.events(answer)
    if asked.route.dialect == "cohere":
        return cohere.events(answer)
    if asked.route.api == "completions":
        return openai.events_of(openai.completion_chunks(asked, answer))
    if asked.route.dialect == "azure":
        return openai.events_of(azure.chunks(asked, answer))
    if asked.route.dialect == "mistral":
        return openai.events_of(mistral.chunks(asked, answer))
    if asked.route.dialect == "ollama":
        return openai.events_of(ollama.chunks(openai.chat_chunks(asked, answer)))
    return openai.events_of(openai.chat_chunks(asked, answer))
