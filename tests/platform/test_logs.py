"""Log lines hold named fields only, and no secret however it is written."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from headrace.platform.logs import JsonLines
from headrace.platform.secrets import Scrubber, Secret

SECRETS = ["correct-horse-battery", 'quo"ted\\secret', "slash/and+plus==", "<angle>&amp;secret"]


def line(message: str, *args: object, secrets: list[str] = SECRETS, **extra: Any) -> str:
    formatter = JsonLines(Scrubber(map(Secret, secrets)))
    record = logging.LogRecord("headrace.test", logging.INFO, "file", 1, message, args, None)
    record.__dict__.update(extra)
    return formatter.format(record)


@pytest.mark.parametrize("secret", SECRETS)
def test_known_secrets_are_taken_out(secret: str) -> None:
    for text in (
        line(f"before {secret} after"),
        line("%s and %r", secret, secret),
        line("x", cause=f"upstream said {secret}"),
        line("x", detail={"key": secret}),
        line("x", call=Exception(secret)),
    ):
        assert secret not in text
        assert all(secret not in str(value) for value in json.loads(text).values())
        assert "***" in text


@pytest.mark.parametrize("secret", SECRETS)
def test_exceptions_too(secret: str) -> None:
    try:
        try:
            raise ValueError(secret)
        except ValueError as error:
            raise RuntimeError(f"while using {secret}") from error
    except RuntimeError:
        found = sys.exc_info()
    text = line("failed", exc_info=found)
    assert "RuntimeError" in json.loads(text)["exception"]
    assert all(secret not in str(value) for value in json.loads(text).values())


def test_other_fields_do_not_leave() -> None:
    text = line("x", prompt="the whole prompt", headers={"authorization": "Bearer abc"})
    assert "prompt" not in text
    assert "Bearer" not in text


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg",  # cut short: a line stays JSON
        "Bearer abcdefgh12345678",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
        "sk-proj-abcdefgh12345678",
        "AccountKey=abcdefgh12345678==;",
    ],
)
def test_what_looks_like_a_secret_is_taken_out_and_lines_stay_json(text: str) -> None:
    found = json.loads(line("before " + text, cause=text, secrets=[]))
    assert "***" in found["event"]
    assert text not in found["event"]
    assert text not in found["cause"]


def test_control_characters_do_not_make_lines() -> None:
    assert "\n" not in line("a\nb\r\x1b[31m", cause="c\nd")
