from __future__ import annotations

from pathlib import Path

import pytest

from headrace.config.loading import discovered, loaded
from headrace.config.show import show

FILE = b"""
keys: {k: {secret: env:CLIENT_KEY}}
backends:
  az: {provider: azure_openai, url: https://x.example, deployment: d, credential: file:k}
"""


def test_defaults_and_models_are_filled_in_and_references_stay_references(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLIENT_KEY", "hunter2")
    text = show(loaded(FILE, Path("headrace.yaml")))
    assert text.startswith("# In force, from headrace.yaml\n")
    assert "  port: 8080\n" in text
    assert "    secret: env:CLIENT_KEY\n" in text
    assert "    api_version: '2024-10-21'\n" in text
    assert "models:\n  az:\n" in text
    assert "hunter2" not in text


def test_what_is_shown_loads_the_same() -> None:
    first = loaded(FILE, Path("headrace.yaml"))
    again = loaded(show(first).encode(), Path("headrace.yaml"))
    assert again.config == first.config


def test_a_discovered_config_can_be_saved_as_a_file() -> None:
    found = discovered({"OPENAI_API_KEY": "sk-hunter2-hunter2"}, local_available=False)
    text = show(found)
    assert text.startswith("# In force, from what was found, without a file\n")
    assert "hunter2" not in text
    assert loaded(text.encode(), Path("headrace.yaml")).config == found.config
