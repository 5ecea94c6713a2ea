"""Generated conversations, answers and streams of the neutral form, with all that any dialect can
say. A thing is made of one draw of bytes, each of which chooses among prepared values, beside one
free text and one free JSON object: draws are what generation costs, and of bytes Hypothesis finds
small examples as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from headrace.services.dialects.neutral import (
    Answered,
    Arguments,
    Asked,
    Began,
    Called,
    Choice,
    Cited,
    Counted,
    Counts,
    Delta,
    Document,
    Ended,
    Finish,
    Finished,
    Hidden,
    Image,
    Part,
    Redacted,
    Refusal,
    Refusing,
    Said,
    Signed,
    Text,
    Thinking,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
)  # fmt: skip

T = TypeVar("T")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
objects = st.dictionaries(st.text(max_size=8), json_values, max_size=2)
_free_texts = st.text(min_size=1, max_size=20)

TEXTS = (
    "a", " ", "\n", "\r\n\r\n", "data: [DONE]\n\n", "Grüße 🏞️", "水", "\u2028\u2029", "\x00", "\x7f",
    '"', "\\", "\\u0041", "{}", "[", "null", "</think>", "event: error", "\ufeffx", "\U0010ffff",
    "e\u0301", "\u200d", "headrace-signature.x", "google#x", "data:a/b;base64,AAAA", "a" * 300,
)  # fmt: skip
NAMES = ("f", "weather", "g-1", "_", "A" * 64)
OBJECTS: tuple[dict[str, Any], ...] = (
    {}, {"city": "Bern"}, {"ü": [1, 2.5, -3, None, True, {"": ""}]}, {"n": 2**53 + 1, "e": 1e-9},
    {"type": "object", "nested": {"a": {"b": [[], {}]}}},
)  # fmt: skip
SCHEMAS: tuple[dict[str, Any], ...] = (
    {"type": "object", "properties": {}},
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
     "additionalProperties": False},
    {"$defs": {"p": {"type": "integer"}}, "anyOf": [{"$ref": "#/$defs/p"}, {"type": "null"}]},
)  # fmt: skip
CACHES = ({"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"})
CITATIONS: tuple[dict[str, Any], ...] = (
    {"type": "char_location", "cited_text": "水", "document_index": 0, "document_title": None,
     "start_char_index": 0, "end_char_index": 1},
    {"type": "page_location", "cited_text": "x", "document_index": 1, "document_title": "t",
     "start_page_number": 1, "end_page_number": 2},
    {"start": 1, "end": 3, "text": "of", "sources": [{"type": "document", "id": "d"}]},
)  # fmt: skip
BASE64S = ("AA==", "iVBORw0KGgo=", "JVBERi0xLjQK")
URLS = ("https://example.com/a.png", "https://example.com/x?y=ü&z=1", "http://h/")
BYTES_OF_A_CONVERSATION = 256
BYTES_OF_AN_ANSWER = 96


class Choices:
    """What the drawn bytes choose, one after another; after the last the first of all options."""

    def __init__(self, draw: st.DrawFn, size: int) -> None:
        self._bytes = iter(draw(st.binary(min_size=size, max_size=size)))
        self._texts = (*TEXTS, draw(_free_texts))
        self._objects = (*OBJECTS, draw(objects))

    def upto(self, most: int) -> int:
        return next(self._bytes, 0) % (most + 1)

    def of(self, options: Sequence[T]) -> T:
        return options[self.upto(len(options) - 1)]

    def once_in(self, times: int) -> bool:
        return self.upto(times - 1) == times - 1

    def maybe(self, options: Sequence[T], times: int = 3) -> T | None:
        return self.of(options) if self.once_in(times) else None

    def text(self) -> str:
        return self.of(self._texts)

    def texts(self, least: int, most: int) -> list[str]:
        return [self.text() for _ in range(least + self.upto(most - least))]

    def maybe_text(self, times: int = 3) -> str | None:
        return self.text() if self.once_in(times) else None

    def object(self) -> dict[str, Any]:
        return self.of(self._objects)

    def number(self) -> int:
        return self.upto(255) * 4001 + self.upto(255)


# --- conversations


class _Conversation:
    def __init__(self, choices: Choices) -> None:
        self._choose = choices
        self._calls = 0
        self._waiting: list[str] = []
        """Ids of calls that have no result yet."""

    def cache(self) -> Any:
        return self._choose.maybe(CACHES, 6)

    def said(self) -> Text:
        return Text(self._choose.text(), self.cache())

    def image(self) -> Image:
        choose, cache = self._choose, self.cache()
        image = Image(detail=choose.maybe(("low", "high")), cache=cache)
        match choose.upto(5):
            case 0 | 1:
                image.url = choose.of(URLS)
            case 2:
                image.file_id = choose.of(NAMES)
            case _:
                image.media_type = choose.of(("image/png", "image/jpeg"))
                image.data = choose.of(BASE64S)
        return image

    def document(self) -> Document:
        choose = self._choose
        match choose.upto(5):
            case 0:
                document = Document("url", choose.of(URLS))
            case 1:
                document = Document("file", choose.of(NAMES))
            case 2 | 3:
                document = Document("text", choose.text())
            case _:
                document = Document("base64", choose.of(BASE64S), "application/pdf")
        document.title, document.context = choose.maybe_text(), choose.maybe_text(6)
        document.cited, document.cache = choose.once_in(6), self.cache()
        return document

    def shown(self) -> Part:
        """What a user shows."""
        match self._choose.upto(5):
            case 4:
                return self.image()
            case 5:
                return self.document()
        return self.said()

    def results(self) -> list[Part]:
        results: list[Part] = []
        for id in self._waiting:
            parts = [self.shown() for _ in range(self._choose.upto(2))]
            results.append(ToolResult(id, parts, self._choose.once_in(4), self.cache()))
        self._waiting.clear()
        return results

    def thought(self) -> Part:
        choose = self._choose
        match choose.upto(5):
            case 0:
                return Redacted(choose.text())
            case 1:
                return Thinking(choose.text())
            case 2:
                return Thinking(choose.text(), "google#" + choose.of(BASE64S))
        return Thinking(choose.text(), choose.of(BASE64S))

    def use(self) -> ToolUse:
        self._calls += 1
        id = f"call_{self._calls}"
        self._waiting.append(id)
        return ToolUse(id, self._choose.of(NAMES), self._choose.object(), self.cache())

    def answer(self) -> list[Part]:
        choose = self._choose
        parts = [self.thought() for _ in range(max(0, choose.upto(3) - 1))]
        for _ in range(choose.upto(2)):
            said = self.said()
            said.citations = [choose.of(CITATIONS)] if choose.once_in(5) else None
            parts.append(said)
        if choose.once_in(8):
            parts.append(Refusal(choose.text()))
        if not parts or choose.once_in(2):
            parts += [self.use() for _ in range(1 + choose.upto(2))]
        if choose.once_in(8):
            parts.append(self.said())  # after its calls, which not all can say
        return parts

    def tool(self) -> Tool:
        choose = self._choose
        return Tool(
            choose.of(NAMES), choose.maybe_text(), choose.maybe(SCHEMAS, 2),
            choose.maybe((True, False)), self.cache(),
        )  # fmt: skip


def _tuned(choose: Choices) -> Asked:
    """What is said beside the turns."""
    asked = Asked(
        max_tokens=choose.maybe((1, 4096), 2),
        temperature=choose.maybe((0, 0.7, 1, 1.0, 2)),
        top_p=choose.maybe((0.1, 1)),
        top_k=choose.maybe((1, 40), 6),
        stop=choose.texts(0, 3),
        seed=choose.maybe((0, -1, 2**40), 6),
        frequency_penalty=choose.maybe((-2, 0.5), 6),
        presence_penalty=choose.maybe((-2, 0.5), 6),
        logit_bias=choose.maybe(({"50256": -100},), 6),
        effort=choose.maybe(("none", "minimal", "low", "medium", "high", "xhigh", "max")),
        thinking=choose.maybe((
            {"type": "enabled", "budget_tokens": 2048}, {"type": "adaptive"}, {"type": "disabled"},
        ), 4),
        user=choose.maybe_text(),
        tier=choose.maybe(("auto", "standard", "flex", "priority")),
        cache=choose.maybe(CACHES, 8),
        stream=choose.once_in(2),
    )  # fmt: skip
    if choose.once_in(4):
        asked.logprobs = True
        asked.top_logprobs = choose.maybe((1, 20), 2)
    match choose.upto(5):
        case 4:
            asked.schema = choose.of(SCHEMAS)
            asked.schema_name = choose.maybe(NAMES, 2)
            asked.schema_description = choose.maybe_text()
            asked.schema_strict = choose.maybe((True, False), 2)
        case 5:
            asked.any_json = True
    return asked


@st.composite
def conversations(draw: st.DrawFn) -> Asked:
    """All that any dialect can say."""
    choose = Choices(draw, BYTES_OF_A_CONVERSATION)
    made = _Conversation(choose)
    asked = _tuned(choose)
    asked.tools = [made.tool() for _ in range(choose.upto(2))]
    if asked.tools:
        kinds = (Choice("none"), Choice("any"), Choice("tool", asked.tools[0].name))
        asked.choice = choose.maybe(kinds, 2)
        asked.one_call_at_most = choose.once_in(3)
    asked.add("system", [made.said() for _ in range(choose.upto(2))])
    for i in range(1 + choose.upto(4)):
        if i % 2:
            asked.add("assistant", made.answer())
        else:
            results = made.results()
            shown = [made.shown() for _ in range(choose.upto(2) + (not results))]
            asked.add("user", [*results, *shown])
        if i and choose.once_in(5):
            asked.add("system", [made.said()])
    return asked


# --- answers


def _counts(choose: Choices) -> Counts:
    """Tokens of every kind."""
    cached, written, thought = (choose.upto(1) and choose.number() for _ in range(3))
    new, said = choose.number(), choose.number()
    heard, spoken = (choose.once_in(4) and choose.number() for _ in range(2))
    return Counts(
        new + cached + written + heard, said + thought + spoken, cached, written, thought,
        int(heard), int(spoken),
    )  # fmt: skip


def _likely(choose: Choices) -> list[Any]:
    """Log probabilities of tokens, as OpenAI's chats tell them."""
    likely = {"token": choose.text(), "logprob": -0.25, "bytes": [choose.upto(255)]}
    return [{**likely, "top_logprobs": [likely] if choose.once_in(2) else []}]


TIERS_HAD = ("standard", "priority", "batch")


@st.composite
def answers(draw: st.DrawFn) -> Answered:
    """Whole answers: thoughts, what is said, and calls."""
    choose = Choices(draw, BYTES_OF_AN_ANSWER)
    parts: list[Part] = []
    for _ in range(choose.upto(2)):
        signature = choose.of(BASE64S) if choose.upto(3) else None
        thought = Thinking(choose.text(), signature)
        parts.append(Redacted(choose.text()) if choose.once_in(3) else thought)
    for _ in range(choose.upto(2)):
        cited = [choose.of(CITATIONS)] if choose.once_in(4) else None
        likely = _likely(choose) if choose.once_in(4) else None
        parts.append(Text(choose.text(), citations=cited, logprobs=likely))
    if choose.once_in(6):
        parts.append(Refusal(choose.text()))
    parts += [
        ToolUse(f"call_{number}", choose.of(NAMES), choose.object())
        for number in range(choose.upto(2))
    ]
    finish = choose.of(list(Finish))
    return Answered(
        choose.text(), choose.text(), parts, finish,
        choose.text() if finish is Finish.STOP_SEQUENCE else None,
        _counts(choose) if choose.upto(3) else None,
        choose.maybe(TIERS_HAD, 2),
    )  # fmt: skip


@st.composite
def streams(draw: st.DrawFn) -> list[Delta]:
    """An answer in parts, as a provider may send it."""
    choose = Choices(draw, BYTES_OF_AN_ANSWER)
    deltas: list[Delta] = [Began("id-1", "m", tier=choose.maybe(TIERS_HAD, 2))]
    for _ in range(choose.upto(2)):
        if choose.once_in(3):
            deltas.append(Hidden(choose.text()))
        else:
            deltas += [*map(Thought, choose.texts(1, 2)), Signed(choose.text())]
    for _ in range(choose.upto(3)):
        likely = _likely(choose) if choose.once_in(4) else None
        deltas.append(Said(choose.text(), likely))
        if choose.once_in(5):
            deltas.append(Cited(choose.of(CITATIONS)))
    if choose.once_in(6):
        deltas += map(Refusing, choose.texts(1, 2))
    calls = choose.upto(2)
    for number in range(calls):
        deltas.append(Called(number, f"call-{number}", choose.of(NAMES)))
        deltas += [Arguments(number, text) for text in choose.texts(1, 2)]
    finish = Finish.TOOLS if calls else choose.of(list(Finish))
    stop = choose.text() if finish is Finish.STOP_SEQUENCE else None
    return [*deltas, Finished(finish, stop), Counted(_counts(choose)), Ended()]
