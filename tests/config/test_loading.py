"""Good files, where a file is looked for, warnings, and what can't be read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.config.backends import AzureOpenAIBackend, LocalBackend, OpenAIBackend
from headrace.config.loading import discovered, load, loaded, locate, with_found
from headrace.config.policies import BalancePolicy, RetryPolicy
from headrace.config.problems import ConfigError
from headrace.config.schema import Config, Fallback, Model, ModelTimeouts, Resilience
from headrace.errors import Setup

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


def config_of(text: str) -> Config:
    return loaded(text.encode(), Path("headrace.yaml")).config


def warnings_of(text: str) -> list[str]:
    return [str(warning) for warning in loaded(text.encode(), Path("headrace.yaml")).warnings]


def docs_examples() -> list[str]:
    return [part.split("```")[0] for part in DOCS.read_text("utf-8").split("```yaml\n")[1:]]


def test_the_example_of_the_docs_loads_without_a_warning() -> None:
    first, _ = docs_examples()
    config = config_of(first)
    assert config.models["gpt-4o"].pools == [["azure-east", "azure-west"], ["openai"]]
    assert config.models["*"].pools == [["openai"]]
    assert isinstance(config.backends["azure-east"], AzureOpenAIBackend)
    assert isinstance(config.backends["openai"], OpenAIBackend)
    assert isinstance(config.backends["small"], LocalBackend)
    assert config.keys["search"].secret == "env:HEADRACE_SEARCH_KEY"
    assert warnings_of(first) == []


def test_the_example_of_what_happens_when_backends_fail_loads_without_a_warning() -> None:
    _, failing = docs_examples()
    config = config_of(failing)
    model = config.models["gpt-4o"]
    assert model.pools == [["gpt-4o-east", "gpt-4o-west"], ["gpt-4o-mini"]]
    assert model.context_fallback == ["gpt-4.1"]
    assert model.fallback.as_answer
    assert model.fallback.message == "Our assistant is busy. Please try again in a minute."
    assert config.resilience.breaker.failures_in_a_row == 3
    assert warnings_of(failing) == []


def test_one_attempt_more_is_off_and_may_be_switched_on() -> None:
    backends = "backends: {a: {provider: local}, b: {provider: local}}\n"
    on = backends + "models: {m: {pools: [[a, b]], resume: true, hedge: {enabled: true}}}\n"
    model = config_of(on).models["m"]
    assert (model.resume, model.hedge.enabled) == (True, True)
    assert (model.hedge.after_quantile, model.hedge.share) == (0.95, 0.02)
    assert warnings_of(on) == []
    model = config_of(backends + "models: {m: {pools: [[a, b]]}}\n").models["m"]
    assert (model.resume, model.hedge.enabled) == (False, False)


def test_load_says_where_the_config_came_from(tmp_path: Path) -> None:
    path = tmp_path / "headrace.yaml"
    path.write_bytes(b"server: {port: 9000}\n")
    made = load(path)
    assert made.config.server.port == 9000
    assert made.source == path
    assert made.folder == tmp_path
    assert made.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_yaml_that_people_write_is_understood() -> None:
    config = config_of(
        """
server: {body_limit_bytes: 2_000_000, drain_s: 5, tls: null}
backends:
  az: &az
    provider: azure_openai
    url: https://x.example
    deployment: gpt-4o
    credential: env:K
    api_version: 2024-10-21
    include_usage: no
    timeouts: &slow {whole_s: 120}
  az2: {<<: *az, url: https://y.example, timeouts: *slow}
"""
    )
    assert config.server.body_limit_bytes == 2_000_000
    assert config.server.drain_s == 5.0
    az, az2 = config.backends["az"], config.backends["az2"]
    assert isinstance(az, AzureOpenAIBackend)
    assert isinstance(az2, AzureOpenAIBackend)
    assert az.api_version == "2024-10-21"
    assert az.include_usage is False
    assert (az2.url, az2.deployment, az2.timeouts.whole_s) == ("https://y.example", "gpt-4o", 120.0)


def test_a_bare_yes_is_true_only_where_true_or_false_is_meant() -> None:
    config = config_of("backends: {a: {provider: local, region: 'no'}}")
    assert config.backends["a"].region == "no"


def test_a_partly_written_section_keeps_its_own_defaults() -> None:
    config = config_of("backends: {a: {provider: local, timeouts: {connect_s: 1}}}")
    timeouts = config.backends["a"].timeouts
    assert (timeouts.connect_s, timeouts.first_token_s, timeouts.whole_s) == (1.0, 60.0, 300.0)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("balance: {affinity: user}", {"balance": BalancePolicy(affinity="user")}),
        ("retry: {attempts: 3}", {"retry": RetryPolicy(attempts=3)}),
        ("fallback: {cache: true}", {"fallback": Fallback(cache=True)}),
        ("timeouts: {idle_s: 7}", {"timeouts": ModelTimeouts(idle_s=7.0)}),
        ("coalesce: never", {"coalesce": "never"}),
    ],
)
def test_what_a_model_leaves_out_keeps_its_default(written: str, expected: dict[str, Any]) -> None:
    config = config_of(
        f"{{backends: {{a: {{provider: local}}}}, models: {{m: {{pools: [[a]], {written}}}}}}}"
    )
    assert config.models["m"] == Model(pools=[["a"]], **expected)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("breaker", "min_calls", 20),
        ("concurrency", "least", 2),
        ("retry_budget", "burst", 3.0),
        ("shedding", "all_lag_ms", 500.0),
        ("idempotency", "keep_s", 0.0),
        ("coalescing", "mode", "always"),
        ("kept_answers", "keep_s", 60.0),
    ],
)
def test_what_a_section_of_resilience_leaves_out_keeps_its_default(
    section: str, field: str, value: object
) -> None:
    text = (
        f"backends: {{a: {{provider: local}}}}\nresilience: {{{section}: {{{field}: {value}}}}}\n"
    )
    default = Resilience()
    changed = msgspec.structs.replace(getattr(default, section), **{field: value})
    assert config_of(text).resilience == msgspec.structs.replace(default, **{section: changed})
    assert changed != getattr(default, section)


def test_every_section_of_resilience_is_tried_above() -> None:
    marks = test_what_a_section_of_resilience_leaves_out_keeps_its_default.pytestmark  # type: ignore[attr-defined]
    assert [case[0] for case in marks[0].args[1]] == list(Resilience.__struct_fields__)


@pytest.mark.parametrize(
    "resilience",
    [
        "concurrency: {most: 6}",
        "concurrency: {least: 5000, most: 6000}",
        "idempotency: {most_bytes: 0}",
        "kept_answers: {most_bytes: 1000}",
        "breaker: {open_s: 20}",
    ],
)
def test_defaults_give_way_to_bounds_that_are_written(resilience: str) -> None:
    text = f"backends: {{a: {{provider: local}}}}\nresilience: {{{resilience}}}\n"
    assert warnings_of(text) == []


def test_as_many_tiers_as_attempts_can_be_reached() -> None:
    backends = "backends: {a: {provider: local}, b: {provider: local}}\n"
    assert warnings_of(backends + "models: {m: {pools: [[a], [b]], retry: {attempts: 2}}}") == []


def test_tiers_of_different_operations_do_not_take_each_others_attempts() -> None:
    text = """
backends:
  a: {provider: openai, credential: env:A, model: x, operations: [chat, completions]}
  b: {provider: openai, credential: env:A, model: y, operations: [embeddings]}
models: {m: {pools: [[a], [b]], retry: {attempts: 1}}}
"""
    assert warnings_of(text) == []


def test_a_context_fallback_to_a_larger_window_is_taken() -> None:
    text = """
backends:
  a: {provider: local}
  b: {provider: openai, credential: env:B, model: x, context_tokens: 4097}
models:
  m: {pools: [[a]], context_fallback: [b], balance: {method: weighted, weights: {b: 2}}}
"""
    assert config_of(text).models["m"].context_fallback == ["b"]
    assert warnings_of(text) == []


def test_models_that_are_left_out_are_filled_in() -> None:
    config = config_of("backends: {a: {provider: local, model: m}}")
    assert config.models == {"a": Model(pools=[["a"]]), "m": Model(pools=[["a"]])}


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "server: {host: 0.0.0.0}\nbackends: {a: {provider: local}}\n",
            "headrace.yaml:1: server.host: other machines can reach this address, but no `keys` are"
            " written. A single key is generated and printed at the start; write `keys` to name "
            "callers.",
        ),
        (
            "server: {client_address_header: forwarded}\nbackends: {a: {provider: local}}\n",
            "headrace.yaml:1: server.client_address_header: it has no effect without "
            "`trusted_proxies`: no proxy is believed. Name your proxies, as in `trusted_proxies: "
            "[10.0.0.0/8]`, or remove the line.",
        ),
        (
            "store: {}\n",
            "headrace.yaml: no `backends` are written. Headrace serves what it finds in the "
            "environment, else its embedded models.",
        ),
        (
            "backends:\n  a: {provider: local}\n  b: {provider: local}\n"
            "models: {m: {pools: [[a]]}}\n",
            "headrace.yaml:3: backends.b: no model uses this backend. Name it in a model's "
            "`pools`, or remove it.",
        ),
        (
            "backends:\n  a: {provider: openai, url: 'http://vllm:8000/v1'}\n",
            "headrace.yaml:2: backends.a.url: prompts and the credential travel unencrypted to "
            "another machine. Use `https://` unless you trust the network between.",
        ),
        (
            "backends:\n  a: {provider: openai, credential: env:K}\nkeys:\n  k: {secret: env:K}\n",
            'headrace.yaml:4: keys.k.secret: this is the credential of the backend "a" too, so '
            "clients know the provider's key. Give clients a secret of their own.",
        ),
        (
            "backends:\n  a: {provider: local, timeouts: {stream_s: 1}}\n",
            "headrace.yaml:2: backends.a.timeouts: `first_token_s` is longer than `stream_s`, "
            "which ends the stream before. Make `stream_s` the longer one.",
        ),
        (
            "backends:\n  a: {provider: local}\n"
            "models:\n  m:\n    pools: [[a]]\n    balance:\n      affinity_header: x-user\n",
            "headrace.yaml:7: models.m.balance.affinity_header: the header has no effect with "
            "`affinity: none`. Write `affinity: header`, or remove the line.",
        ),
        (
            "backends:\n"
            "  a: {provider: openai, credential: env:A, model: x, operations: [embeddings]}\n"
            "models:\n  m: {pools: [[a]], fallback: {as_answer: true}}\n",
            "headrace.yaml:4: models.m.fallback.as_answer: it has no effect: only chats can be "
            "answered with a message, and no backend of the pools can chat. Remove the line.",
        ),
        (
            "backends:\n  a: {provider: local}\n"
            "models:\n  m: {pools: [[a]], timeouts: {stream_s: 1}}\n",
            "headrace.yaml:4: models.m.timeouts: `first_token_s` is longer than `stream_s`, "
            "which ends the stream before. Make `stream_s` the longer one.",
        ),
        (
            "backends:\n  a: {provider: local}\n"
            "models:\n  m: {pools: [[a]], retry: {attempts: 2, attempts_per_backend: 3}}\n",
            "headrace.yaml:4: models.m.retry.attempts_per_backend: a call makes at most 2 "
            "attempts, on all backends together. Write `attempts: 3`, or a smaller number here.",
        ),
        (
            "backends: {a: {provider: local}}\n"
            'redis: {url: "redis://cache:6379", password: env:P}\n',
            "headrace.yaml:2: redis.url: the password travels unencrypted to another machine. Use "
            "`rediss://` unless you trust the network between.",
        ),
        (
            'backends: {a: {provider: local}}\nredis: {url: "redis://cache:6379", ca: ca.pem}\n',
            "headrace.yaml:2: redis.ca: it has no effect without TLS. Write `rediss://` in the "
            "URL, or remove the line.",
        ),
        (
            "backends: {a: {provider: local}, b: {provider: local}, c: {provider: local}}\n"
            "models:\n  m:\n    retry: {attempts: 1}\n"
            "    pools:\n    - [a]\n    - [b]\n    - [c]\n",
            "headrace.yaml:7: models.m.pools[1]: a call that failed in the tiers before does not "
            "reach this one: each takes an attempt, and `retry.attempts` is 1. It is asked only "
            "while all backends of an earlier tier are out. Put its backends into an earlier "
            "tier. Or write `retry: {attempts: 2}`.",
        ),
        (
            f"backends: {{{', '.join(f'b{i}: {{provider: local}}' for i in range(17))}}}\n"
            f"models:\n  m: {{retry: {{attempts: 16}}, pools: {[[f'b{i}'] for i in range(17)]}}}\n",
            "headrace.yaml:3: models.m.pools[16]: a call that failed in the tiers before does not "
            "reach this one: each takes an attempt, and `retry.attempts` is 16. It is asked only "
            "while all backends of an earlier tier are out. Put its backends into an earlier "
            "tier.",
        ),
        (
            "backends: {a: {provider: local}}\nmodels:\n  m:\n    pools: [[a]]\n    resume: true\n",
            "headrace.yaml:5: models.m.resume: it has no effect: the pools have one backend, and "
            "another must go on. Add a backend, or remove the line.",
        ),
        (
            "backends: {a: {provider: local}, b: {provider: local}}\n"
            "models:\n  m:\n    pools: [[a], [b]]\n    hedge: {enabled: true}\n",
            "headrace.yaml:5: models.m.hedge: it has no effect: the second backend must be of the "
            "same tier, and each has one. Put backends that are as good as each other into one "
            "tier, or remove it.",
        ),
        (
            "backends: {a: {provider: local}, b: {provider: local}}\n"
            "models:\n  m:\n    pools: [[a, b]]\n    retry: {attempts: 1}\n"
            "    hedge: {enabled: true}\n",
            "headrace.yaml:6: models.m.hedge: it has no effect: a call makes one attempt, since "
            "`retry.attempts` is 1. Write `attempts: 2`.",
        ),
    ],
)
def test_what_is_allowed_but_unwise_is_a_warning(text: str, warning: str) -> None:
    assert warnings_of(text) == [warning]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]/v1"])
def test_plain_http_to_this_machine_is_no_warning(url: str) -> None:
    assert warnings_of(f"backends: {{a: {{provider: openai, url: '{url}'}}}}") == []


def test_a_key_may_name_any_model_if_the_star_catches_it() -> None:
    text = """
keys: {k: {secret: env:K, models: [gpt-4o]}}
backends: {a: {provider: openai, credential: env:A}}
models: {"*": {pools: [[a]]}}
"""
    assert config_of(text).keys["k"].models == ["gpt-4o"]


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(ConfigError) as caught:
        load(missing)
    assert str(caught.value) == f"{missing}: there is no such file. Check the path."
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert (
        str(caught.value)
        == f"{tmp_path}: this is a folder. Name the file in it, such as headrace.yaml."
    )


def test_the_file_is_looked_for_in_order(tmp_path: Path) -> None:
    here, named, option = (tmp_path / n for n in ("headrace.yaml", "named.yaml", "option.yaml"))
    assert locate(None, {}, tmp_path) is None
    for path in (here, named, option):
        path.touch()
    assert locate(None, {}, tmp_path) == here
    assert locate(None, {"HEADRACE_CONFIG": " "}, tmp_path) == here
    assert locate(None, {"HEADRACE_CONFIG": str(named)}, tmp_path) == named
    assert locate(option, {"HEADRACE_CONFIG": str(named)}, tmp_path) == option


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    missing = tmp_path / "gone.yaml"
    with pytest.raises(Setup, match=r"There is no file .*gone.yaml\"\."):
        locate(missing, {}, tmp_path)
    with pytest.raises(Setup, match="which HEADRACE_CONFIG names"):
        locate(None, {"HEADRACE_CONFIG": str(missing)}, tmp_path)


def test_a_link_to_nowhere_is_not_taken_for_no_file(tmp_path: Path) -> None:
    link = tmp_path / "headrace.yaml"
    os.symlink(tmp_path / "gone", link)
    assert locate(None, {}, tmp_path) == link
    with pytest.raises(ConfigError, match="no such file"):
        load(link)


def test_a_file_with_settings_alone_keeps_them_and_serves_what_is_found() -> None:
    made = loaded(b"server: {port: 9}\n", Path("headrace.yaml"))
    found = with_found(made, {"GROQ_API_KEY": "x"}, False)
    assert (found.source, found.digest) == (made.source, made.digest)
    assert found.config.server.port == 9
    assert list(found.config.backends) == ["groq"]
    written = loaded(b"backends: {a: {provider: local}}\n", Path("headrace.yaml"))
    assert with_found(written, {"GROQ_API_KEY": "x"}, False) is written


def test_a_discovered_config_has_no_source() -> None:
    first, second = discovered({"GROQ_API_KEY": "x"}, True), discovered({}, True)
    assert first.source is None
    assert first.digest != second.digest
    assert first.folder == Path.cwd()


@pytest.mark.parametrize("text", ["10.0.0.1/8", "1.2.3.4.5", "::1/129", "10.0.0.0/33"])
def test_a_range_that_is_none_is_found(tmp_path: Path, text: str) -> None:
    path = tmp_path / "headrace.yaml"
    path.write_text(f"server:\n  trusted_proxies:\n    - 10.0.0.0/8\n    - '{text}'\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.line == 4
    assert "not a range of addresses" in problem.what
