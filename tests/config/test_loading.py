"""Good files, where a file is looked for, warnings, and what can't be read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from headrace.config.loading import discovered, load, loaded, locate, with_found
from headrace.config.problems import ConfigError
from headrace.config.schema import AzureOpenAIBackend, Config, LocalBackend, Model, OpenAIBackend
from headrace.errors import Setup

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


def config_of(text: str) -> Config:
    return loaded(text.encode(), Path("headrace.yaml")).config


def warnings_of(text: str) -> list[str]:
    return [str(warning) for warning in loaded(text.encode(), Path("headrace.yaml")).warnings]


def docs_example() -> str:
    return DOCS.read_text("utf-8").split("```yaml\n")[1].split("```")[0]


def test_the_example_of_the_docs_loads_without_a_warning() -> None:
    config = config_of(docs_example())
    assert config.models["gpt-4o"].pools == [["azure-east", "azure-west"], ["openai"]]
    assert config.models["*"].pools == [["openai"]]
    assert isinstance(config.backends["azure-east"], AzureOpenAIBackend)
    assert isinstance(config.backends["openai"], OpenAIBackend)
    assert isinstance(config.backends["small"], LocalBackend)
    assert config.keys["search"].secret == "env:HEADRACE_SEARCH_KEY"
    assert warnings_of(docs_example()) == []


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
    with pytest.raises(Setup, match="which --config names"):
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
