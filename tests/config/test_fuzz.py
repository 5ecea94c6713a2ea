"""Whatever bytes stand in the file: a config, or a `ConfigError` that quotes no secret."""

from __future__ import annotations

import string
from pathlib import Path

import msgspec
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.config.loading import Loaded, loaded
from headrace.config.policies import BalancePolicy, RetryPolicy
from headrace.config.problems import ConfigError
from headrace.config.schema import Fallback, ModelTimeouts, Resilience
from headrace.config.show import show

NAME = Path("headrace.yaml")
SECRET = "sk-Ab3dEf6hIj9lMn2pQr5tUv8x"
PASSWORD = "correct-horse-battery"

WORDS = st.sampled_from(
    [
        "server",
        "port",
        "host",
        "backends",
        "models",
        "pools",
        "provider",
        "openai",
        "azure_openai",
        "local",
        "credential",
        "url",
        "deployment",
        "timeouts",
        "connect_s",
        "keys",
        "secret",
        "env:K",
        "https://x.example/v1",
        "*",
        "a",
        "m",
        SECRET,
    ]
)
SCALARS = st.one_of(
    WORDS,
    st.text(max_size=12),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.dates(),
    st.binary(max_size=4),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(WORDS, SCALARS), inner, max_size=5)
    ),
    max_leaves=25,
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "server": st.dictionaries(WORDS, SCALARS, max_size=3),
        "backends": st.dictionaries(WORDS, st.dictionaries(WORDS, TREES, max_size=4), max_size=3),
        "models": st.dictionaries(
            WORDS, st.fixed_dictionaries({"pools": st.lists(st.lists(WORDS))}), max_size=3
        ),
        "keys": st.dictionaries(WORDS, st.dictionaries(WORDS, SCALARS, max_size=3), max_size=3),
    },
)
NUMBERS = st.one_of(SCALARS, st.floats(0, 20), st.integers(1, 20))


def written(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, object]]:
    """A section with some of its keys."""
    return st.dictionaries(st.sampled_from(kind.__struct_fields__), NUMBERS, max_size=4)


FAILING = st.fixed_dictionaries(
    {
        "backends": st.dictionaries(
            st.sampled_from("abc"),
            st.fixed_dictionaries(
                {"provider": st.just("local")},
                optional={"context_tokens": st.integers(200, 400)},
            ),
            max_size=3,
        ),
        "models": st.dictionaries(
            st.sampled_from(["a", "m"]),
            st.fixed_dictionaries(
                {"pools": st.lists(st.lists(st.sampled_from("abcm"), max_size=2), max_size=4)},
                optional={
                    "context_fallback": st.lists(st.sampled_from("abcm"), max_size=3),
                    "balance": st.one_of(
                        written(BalancePolicy),
                        st.fixed_dictionaries({"weights": st.just({"a": 0, "b": 1})}),
                    ),
                    "retry": st.one_of(written(RetryPolicy), st.just({"attempts": 1})),
                    "fallback": written(Fallback),
                    "timeouts": written(ModelTimeouts),
                },
            ),
            max_size=2,
        ),
    },
    optional={
        "resilience": st.fixed_dictionaries(
            {},
            optional={
                name: written(type(getattr(Resilience(), name)))
                for name in Resilience.__struct_fields__
            },
        )
    },
)
SOUP = st.text(alphabet=string.printable + "é \x85﻿\x00", max_size=200)
LINES = st.lists(
    st.tuples(
        st.sampled_from(
            ["", "  ", "    ", "\t", "- ", "  - ", "? ", "<<: ", "&a ", "*a", "!!int "]
        ),
        WORDS,
        st.sampled_from(
            [":", ": ", ": [", ": {", "]", "}", ": &a", ": *a", ": |", ' "', ": 0x", ""]
        ),
        WORDS,
    ).map("".join),
    max_size=12,
).map("\n".join)


def outcome(data: bytes) -> Loaded | str:
    try:
        return loaded(data, NAME)
    except ConfigError as error:
        assert error.problems
        return str(error)


@given(st.one_of(SOUP, LINES))
@example("a: !!int ''")
@example("!!int '':")
@example("server: {drain_s: 1:1:1:1:1:1:1:1:1:1:1:1:1:1:1.5}")
@example("server: {port: " + "9" * 5000 + "}")
@example('server: {host: "\\UFFFFFFFF"}')
@example("server: {host: !!float ''}")
@example("server: {host: !!timestamp x}")
@example("server: {host: !!set {a, b}}")
@example("? [a, b]\n: c")
@example("{a: 1, <<: [*a]}")
@example("&a [*a]")
@example("&a {<<: *a}")
@example("%YAML 9.9\n---\na: b")
@example("%TAG ! a\n---\n! b")
@example("server: =\n")
@example("server: {<<: {<<: {port: 1}}}")
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_config_or_a_config_error(text: str) -> None:
    answer = outcome(text.encode("utf-8", "surrogatepass"))
    assert SECRET not in str(answer) or isinstance(answer, Loaded)


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_a_config_or_a_config_error(data: bytes) -> None:
    outcome(data)


@given(st.one_of(TREES, SHAPED, FAILING))
@settings(max_examples=100, deadline=None)
def test_any_tree_is_a_config_or_an_error_that_quotes_no_secret(tree: object) -> None:
    answer = outcome(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"))
    if isinstance(answer, str):
        assert SECRET not in answer


@given(st.sampled_from([SECRET, PASSWORD, "eyJhbGciOi.eyJzdWIi.c2ln", "A1" * 20, "tops3cret!"]))
@settings(deadline=None)
def test_a_secret_in_a_place_for_a_reference_is_never_quoted(secret: str) -> None:
    for text in (
        f"backends: {{a: {{provider: openai, credential: {secret!r}}}}}",
        f"keys: {{a: {{secret: {secret!r}}}}}",
        f"keys: {{a: {{secret: 'env:{secret}!'}}}}",
        f"keys: {{a: {{secret: [{secret!r}]}}}}",
        f"keys: {{a: {{secret: {{{secret!r}: 1}}}}}}",
        f"keys: {{a: {secret!r}}}",
        f"backends: {{a: {{provider: openai, url: 'https://me:{secret}@x.example/v1'}}}}",
        f"backends: {{a: {{provider: openai, url: 'https://x.example/v1?key={secret}'}}}}",
        f"backends: {{a: {{provider: openai, api_key: {secret!r}}}}}",
        f"backends: {{a: {{provider: openai, headers: {{Authorization: 'Bearer {secret}'}}}}}}",
        f'keys: {{a: {{secret: "{secret}\n',
    ):
        answer = outcome(text.encode())
        assert isinstance(answer, str)
        assert secret not in answer


@given(st.one_of(SHAPED, FAILING))
@settings(max_examples=60, deadline=None)
def test_what_loads_is_shown_in_a_form_that_loads_the_same(tree: object) -> None:
    answer = outcome(yaml.safe_dump(tree).encode())
    if isinstance(answer, Loaded):
        again = outcome(show(answer).encode())
        assert isinstance(again, Loaded)
        assert again.config == answer.config
