"""docs/compatibility.md, its second part: what SDKs give to those who use them.

Each cell is a call by an SDK through a gateway's port to an upstream that speaks the provider's
format. `make test-sdks` runs them, in environments of their own; with `HEADRACE_DOCS=1` before it
that writes the page's part, once all are as it says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from clients.compatibility import PAGE, REFUSED, YES, parts
from clients.conftest import CLIENT_KEY
from clients.weather import CITIES, PNG
from sdks.compatibility import CELLS, CLIENTS, FEATURES, ROME, Client, expected, section
from sdks.program import Program
from support.gateway_process import Gateway
from support.scripted import ScriptedThread

pytestmark = pytest.mark.sdks

OF_STREAMS = ("types in streams", "a cut stream is an error")
USED = {"input": 20, "output": 9, "cached": 5}


class Caller(NamedTuple):
    """A way to use an SDK before one provider."""

    client: Client
    provider: str
    program: Program
    gateway: Gateway
    upstream: ScriptedThread

    def does(self, what: str, **members: Any) -> dict[str, Any]:
        """What the SDK gave. Fails with what it raised."""
        answer = self._asked(what, **members)
        if "got" not in answer:
            pytest.fail(f"The SDK raised {answer['raised']}", pytrace=False)
        got: dict[str, Any] = answer["got"]
        return got

    def raises(self, what: str, **members: Any) -> dict[str, Any]:
        """What the SDK raised."""
        answer = self._asked(what, **members)
        assert "raised" in answer, answer
        raised: dict[str, Any] = answer["raised"]
        return raised

    def _asked(self, what: str, **members: Any) -> dict[str, Any]:
        return self.program.does(
            do=what,
            root=self.gateway.root,
            key=CLIENT_KEY,
            model=self.client.models[self.provider],
            **{"as": self.client.way},
            **members,
        )

    def sent(self) -> str:
        """What reached the provider last, with its letters as they are."""
        return str(self.upstream.seen[-1].json())

    def answers(self, **script: Any) -> None:
        """Scripts an answer that the SDK can read."""
        self.upstream.script({**self.client.answer(self.provider), **script})

    def says(self, value: Any) -> None:
        """Scripts an answer of a type."""
        self.upstream.script(self.client.typed_answer(value, self.provider))


def whole(c: Caller) -> None:
    c.upstream.script({"text": "Grüße"})
    assert c.does("ask")["text"] == "Grüße"


def streams(c: Caller) -> None:
    c.upstream.script({"text": "Grüße aus der alten Mühle"})
    got = c.does("ask", stream=True)
    assert got["text"] == "".join(got["pieces"]) == "Grüße aus der alten Mühle"
    assert len(got["pieces"]) > 1


def system(c: Caller) -> None:
    c.answers()
    c.does("ask")
    assert "Be short." in c.sent()


def turns(c: Caller) -> None:
    c.upstream.script({"text": "In Łódź."})
    c.upstream.script({"text": "By train."})
    assert c.does("turns")["text"] == "By train."
    keeps = c.client.models is CLIENTS["openai-agents"].models and "OpenAI" in c.provider
    named = c.client.sdk == "ai" and c.client.way == "responses" and keeps
    assert ("item_reference" if named else "In Łódź.") in c.sent()
    assert "And then?" in c.sent()


def tools(c: Caller) -> None:
    _tools(c, stream=False)


def streamed_tools(c: Caller) -> None:
    _tools(c, stream=True)


def _tools(c: Caller, stream: bool) -> None:
    """The SDK calls the tool twice and tells of both."""
    c.upstream.script({"tool_calls": [{"arguments": city} for city in CITIES]})
    c.upstream.script({"text": "Rain in both."})
    got = c.does("tools", stream=stream)
    assert sorted(got["called"]) == sorted(city["city"] for city in CITIES)
    assert got["text"] == "Rain in both."
    for city in got["called"]:
        assert f"rain in {city}" in c.sent()


def typed(c: Caller) -> None:
    c.says(ROME)
    assert c.does("typed")["typed"] == ROME


def typed_stream(c: Caller) -> None:
    c.says(ROME)
    got = c.does("typed", stream=True)
    assert got["typed"] == ROME
    assert got["steps"] > 1 or c.provider == "Google"  # whose calls come in one piece


def asked_again(c: Caller) -> None:
    c.says({"city": "Rome", "degrees": "warm"})
    c.says(ROME)
    assert c.does("typed", tries=2)["typed"] == ROME
    assert len(c.upstream.seen) == 2
    assert "valid integer" in c.sent()


def image(c: Caller) -> None:
    c.upstream.script({"text": "A mill."})
    assert c.does("image", image=f"data:image/png;base64,{PNG}")["text"] == "A mill."
    assert PNG in c.sent()


def thinking(c: Caller) -> None:
    for stream in (False, True):
        c.upstream.script({"text": "Yes.", "thinking": "Hm, let me see."})
        assert c.does("ask", stream=stream)["thinking"] == "Hm, let me see."


def usage(c: Caller) -> None:
    for stream in (False, True):
        if stream and "streams" not in c.client.has:
            return  # a type in a stream comes without
        c.answers(usage=USED)
        each = c.does("ask", stream=stream)["usage"]
        assert (each["output"], each["cached"]) == (USED["output"], USED["cached"])


def too_long(c: Caller) -> None:
    c.upstream.script({"fault": "context_too_long"})
    raised = c.raises("ask")
    assert c.client.error in raised["classes"]
    assert "longer than this model" in raised["text"]
    call = c.upstream.only_seen().header("x-request-id")
    assert call is not None
    assert call in raised["request_ids"] or call in raised["text"]


def cut(c: Caller) -> None:
    c.answers(fault={"kind": "cut", "after": 2})
    assert "broke off" in c.raises("ask", stream=True)["text"]


TESTS: dict[str, Callable[[Caller], None]] = {
    "whole answers": whole,
    "streams": streams,
    "system messages": system,
    "earlier turns": turns,
    "tools, parallel calls": tools,
    "tools in streams": streamed_tools,
    "types of answers": typed,
    "types in streams": typed_stream,
    "a wrong type is asked again": asked_again,
    "images, base64": image,
    "thinking": thinking,
    "usage, cached tokens": usage,
    "conversation too long, told": too_long,
    "a cut stream is an error": cut,
}


@pytest.fixture(scope="module")
def passed() -> Iterator[set[tuple[str, str, str]]]:
    cells: set[tuple[str, str, str]] = set()
    yield cells
    if os.environ.get("HEADRACE_DOCS") == "1" and len(cells) == len(CELLS):
        PAGE.write_text(parts()[0] + section())


@pytest.mark.parametrize(("name", "feature", "provider"), CELLS)
def test_cell(
    gateway: Gateway,
    upstream: ScriptedThread,
    programs: Callable[[str], Program],
    passed: set[tuple[str, str, str]],
    name: str,
    feature: str,
    provider: str,
) -> None:
    assert tuple(TESTS) == FEATURES
    client = CLIENTS[name]
    caller = Caller(client, provider, programs(client.sdk), gateway, upstream)
    if expected(feature, name, provider) == REFUSED:
        raised = caller.raises("typed", stream=feature in OF_STREAMS)
        assert "cannot be expressed" in raised["text"]
    else:
        assert expected(feature, name, provider) == YES
        TESTS[feature](caller)
    passed.add((name, feature, provider))
