"""What the gateway reads of a client's body, and what it refuses."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.edge import openai, reading
from headrace.edge.correlation import correlation_id
from headrace.edge.headers import Said
from headrace.edge.routes import Page, Route, dialect_of, route_of
from headrace.errors import Reason, Refused
from headrace.nouns import Dialect, Operation

CHAT, EMBEDDINGS = Operation.CHAT, Operation.EMBEDDINGS
BAD: list[tuple[bytes, Operation, Reason, str, str | None]] = [
    (b"", CHAT, Reason.BAD_BODY, "no body", None),
    (b"{", CHAT, Reason.BAD_BODY, "not valid JSON", None),
    (b'{"messages":[]}x', CHAT, Reason.BAD_BODY, "not valid JSON", None),
    (b'{"messages":[NaN]}', CHAT, Reason.BAD_BODY, "not valid JSON", None),
    (b'{"messages":["\xff"]}', CHAT, Reason.BAD_BODY, "not UTF-8: see its byte 14", None),
    (b"[1]", CHAT, Reason.BAD_REQUEST, "must be a JSON object", None),
    (b'"x"', CHAT, Reason.BAD_REQUEST, "must be a JSON object", None),
    (b'{"model":7,"messages":[]}', CHAT, Reason.BAD_REQUEST, "'model' must be a string", "model"),
    (b'{"stream":1,"messages":[]}', CHAT, Reason.BAD_REQUEST, "true or false", "stream"),
    (
        b'{"stream_options":{"include_usage":1},"messages":[]}',
        CHAT,
        Reason.BAD_REQUEST,
        "'stream_options.include_usage' must be true or false",
        "stream_options.include_usage",
    ),
    (b'{"model":"m"}', CHAT, Reason.BAD_REQUEST, "needs 'messages'", "messages"),
    (b'{"messages":"hi"}', CHAT, Reason.BAD_REQUEST, "needs 'messages'", "messages"),
    (b'{"model":"m"}', EMBEDDINGS, Reason.BAD_REQUEST, "needs 'input'", "input"),
    (b'{"model":"m"}', Operation.COMPLETIONS, Reason.BAD_REQUEST, "needs 'prompt'", "prompt"),
]


@pytest.mark.parametrize(("body", "operation", "reason", "text", "param"), BAD)
def test_bad_bodies(
    body: bytes, operation: Operation, reason: Reason, text: str, param: str | None
) -> None:
    with pytest.raises(Refused) as caught:
        reading.read(body, operation, 64)
    refused = caught.value
    assert (refused.reason, refused.param) == (reason, param)
    assert text in refused.detail
    made = json.loads(openai.error_body(refused, "an-id-1"))["error"]
    assert made["message"].endswith("(request id: an-id-1)")


def test_good_bodies() -> None:
    asked = reading.read(
        b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true,"x":1}}',
        CHAT,
        64,
    )
    assert (asked.model, asked.stream) == ("m", True)
    assert asked.stream_options is not None
    assert asked.stream_options.include_usage
    assert reading.read(b'{"input":"x"}', EMBEDDINGS, 64).model is None


@pytest.mark.parametrize(
    ("more", "fixed"),
    [
        (b'"seed":1', True), (b'"seed":null', False), (b'"temperature":0', True),
        (b'"temperature":0.0', True), (b'"temperature":0.1', False), (b'"top_p":0', False),
    ],
)  # fmt: skip
def test_fixed_sampling(more: bytes, fixed: bool) -> None:
    assert reading.read(b'{"messages":[],%b}' % more, CHAT, 64).fixed_sampling is fixed


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


TREES = st.recursive(
    st.none() | st.text(alphabet='[]{}"\\aé', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("[{\"\\a"), inner, max_size=3)
    ),
    max_leaves=40,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(TREES, st.integers(1, 6))
def test_nesting_is_counted_as_a_parser_would(tree: Any, limit: int) -> None:
    for ascii_only in (True, False):
        body = json.dumps(tree, ensure_ascii=ascii_only).encode()
        try:
            reading.check_nesting(body, limit)
            refused = False
        except Refused:
            refused = True
        assert refused == (depth_of(tree) > limit)


def test_bombs() -> None:
    for body in (b'{"messages":' + b"[" * 5000 + b"]" * 5000 + b"}", b"[" * 500_000):
        with pytest.raises(Refused):
            reading.read(body, CHAT, 64)
    with pytest.raises(Refused, match="100,000 arrays"):
        reading.read(b'{"messages":[' + b"{}," * 200_000 + b"{}]}", CHAT, 64)


ROUTES = {
    b"/v1/chat/completions": Route(Dialect.OPENAI, CHAT),
    b"/v1/embeddings?x=1": Route(Dialect.OPENAI, EMBEDDINGS),
    b"/openai/v1/chat/completions": Route(Dialect.AZURE_OPENAI, CHAT),
    b"/openai/deployments/my%20gpt/chat/completions?api-version=1": Route(
        Dialect.AZURE_OPENAI, CHAT, "my gpt"
    ),
    b"/openai/deployments/d/embeddings": Route(Dialect.AZURE_OPENAI, EMBEDDINGS, "d"),
}


@pytest.mark.parametrize("target", ROUTES)
def test_routes(target: bytes) -> None:
    assert route_of(b"POST", target) == ROUTES[target]
    with pytest.raises(Refused) as caught:
        route_of(b"GET", target)
    assert caught.value.reason is Reason.METHOD_NOT_ALLOWED


def test_pages() -> None:
    assert route_of(b"GET", b"/v1/models").asks is Page.MODELS
    assert route_of(b"HEAD", b"/healthz").asks is Page.ALIVE
    assert route_of(b"GET", b"/v1/models/org%2Fmodel").name == "org/model"
    assert route_of(b"GET", b"/v1/models/org/model").name == "org/model"


@pytest.mark.parametrize(
    "target",
    [b"/", b"/v1", b"/v1/chat/completions/", b"//v1/models", b"/v1/../v1/models", b"/V1/models",
     b"/openai/deployments//chat/completions", b"/openai/deployments/a/b/chat/completions",
     b"/models/x", b"*", b"/v1/chat%2fcompletions"],
)  # fmt: skip
def test_everything_else_is_unknown(target: bytes) -> None:
    with pytest.raises(Refused) as caught:
        route_of(b"POST", target)
    assert caught.value.reason is Reason.UNKNOWN_ROUTE
    assert dialect_of(target) in Dialect


@pytest.mark.parametrize("offered", [b"abcdefgh", b"A" * 64, b"1-2-3-4-5"])
def test_a_fit_id_is_kept(offered: bytes) -> None:
    assert correlation_id(offered) == offered.decode()


@pytest.mark.parametrize(
    "offered", [None, b"", b"short", b"a" * 65, b"abc\ndefgh", b"abcdefg_", b"\xffabcdefg"]
)
def test_others_are_replaced(offered: bytes | None) -> None:
    made = {correlation_id(offered) for _ in range(100)}
    assert len(made) == 100
    assert all(len(each) == 24 and each.isalnum() for each in made)


def test_ids_that_are_made_later_sort_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's index of them is written at one end."""
    seconds = itertools.count(1_790_000_000.5)
    monkeypatch.setattr(time, "time", lambda: next(seconds))
    made = [correlation_id(None) for _ in range(50)]
    assert made == sorted(made)


def test_headers() -> None:
    said = Said.of(
        [(b"authorization", b"bearer  key "), (b"api-key", b"other"), (b"idempotency-key", b"k"),
         (b"x-stainless-retry-count", b"1"), (b"x-headrace-explain", b"1")]
    )  # fmt: skip
    assert (said.credential, said.idempotency_key, said.sdk_attempt) == (b"key", "k", 1)
    assert said.explain
    assert b"key" not in repr(said).encode()
    assert (
        Said.of([(b"authorization", b"Basic xyz"), (b"api-key", b"other")]).credential == b"other"
    )
    assert Said.of([(b"authorization", b"Bearer ")]).credential is None
    assert Said.of([(b"x-stainless-retry-count", b"-1")]).sdk_attempt is None
