"""Two bodies have one canonical form exactly if they ask the same."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.canonical import BODY_LIMIT_BYTES, FORM, UNASKED, canonical, digest
from headrace.nouns import Operation
from support.replies import call

IGNORED = FORM | UNASKED
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e9, 1e9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(TEXTS, VALUES, max_size=5)


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(name, shuffled(v, rng)) for name, v in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(v, rng) for v in value] if isinstance(value, list) else value


@given(BODIES, st.randoms(use_true_random=False), st.booleans(), st.sampled_from([None, 2]))
def test_order_blanks_and_escapes_do_not_count(
    body: dict[str, Any], rng: random.Random, ascii_only: bool, indent: int | None
) -> None:
    plain = canonical(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())
    other = canonical(
        json.dumps(shuffled(body, rng), ensure_ascii=ascii_only, indent=indent).encode()
    )
    assert plain is not None
    assert other is not None
    assert plain.text == other.text


@given(BODIES, BODIES)
def test_what_differs_in_a_member_that_counts_differs(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    def counting(body: dict[str, Any]) -> str:
        return json.dumps({n: v for n, v in body.items() if n not in IGNORED}, sort_keys=True)

    first, second = canonical(json.dumps(one).encode()), canonical(json.dumps(other).encode())
    assert first is not None and second is not None
    if counting(one) != counting(other):
        assert first.text != second.text
    else:
        assert first.text == second.text


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_who_asks_and_the_form_do_not_count(name: str) -> None:
    plain = canonical(b'{"messages":[]}')
    marked = canonical(json.dumps({"messages": [], name: {"a": [1]}}).encode())
    assert plain is not None and plain == marked


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'"text"',
        b"{",
        b'{"a":1e400}',
        b'{"a":"\\ud800"}',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"messages":[{"role":"user","role":"system"}]}',
        b'{"stream":true,"stream":false}',
        b'{"metadata":{"a":1,"a":2}}',
        b'{"a":":\\"","a":":"}',
        b'{"a":"' + b"x" * BODY_LIMIT_BYTES + b'"}',
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_can_be_read_in_two_ways_or_not_at_all_equals_nothing(body: bytes) -> None:
    assert canonical(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"x:y\\":\\\\","b:c":{"d\\\\\\"":":"}}',
        b'{"\\"":":","\\\\":"::"}',
        b'{ "a" : { } , "b" : [ { } , { "c" : null } ] }',
    ],
)
def test_colons_in_strings_are_no_members(body: bytes) -> None:
    read = canonical(body)
    assert read is not None and json.loads(read.text) == json.loads(body)


def test_the_digest_hangs_on_all_that_decides_the_answer() -> None:
    calls = [
        call(b'{"input":1}'),
        call(b'{"input":2}'),
        call(b'{"input":1}', model="n"),
        call(b'{"input":1}', operation=Operation.EMBEDDINGS),
        call(b'{"input":1}', operation=Operation.EMBEDDINGS, model=""),
    ]
    digests = set()
    for asked in calls:
        read = canonical(asked.body)
        assert read is not None
        digests |= {digest(asked, read), digest(asked, read, "v2")}
    assert len(digests) == 2 * len(calls)


def test_parts_of_the_digest_cannot_run_into_each_other() -> None:
    one, other = call(b"{}", model="b"), call(b"{}", model="")
    read = canonical(b"{}")
    assert read is not None
    assert digest(one, read, "a") != digest(other, read, "ab")
