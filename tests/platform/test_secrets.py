"""Secrets show nowhere, references resolve, and the scrubber finds what slipped through."""

from __future__ import annotations

import copy
import json
import os
import pickle
from pathlib import Path

import msgspec
import pytest

from headrace.errors import Setup
from headrace.platform.secrets import Scrubber, Secret, Secrets, open_to_others, redact, resolve

TEXT = "correct-horse-battery"


@pytest.mark.parametrize(
    "shown",
    [
        lambda s: repr(s),
        lambda s: str(s),
        lambda s: f"{s}",
        lambda s: f"{s!r:>40}",
        lambda s: f"{s:>40}",
        lambda s: "%s %r" % (s, s),  # noqa: UP031
        lambda s: repr([s, {"key": s}]),
        lambda s: str(TypeError(s)),
    ],
)
def test_a_secret_shows_nowhere(shown: object) -> None:
    assert callable(shown)
    text = shown(Secret(TEXT))
    assert TEXT not in text
    assert "***" in text


@pytest.mark.parametrize(
    "leave", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode]
)
def test_a_secret_does_not_leave_by_accident(leave: object) -> None:
    assert callable(leave)
    with pytest.raises(TypeError) as caught:
        leave(Secret(TEXT))
    assert TEXT not in str(caught.value)
    assert not hasattr(Secret(TEXT), "__dict__")


def test_secrets_compare_by_their_text() -> None:
    assert Secret(TEXT) == Secret(TEXT)
    assert Secret(TEXT) != Secret(TEXT + "x")
    assert Secret(TEXT) != TEXT
    assert len({Secret(TEXT), Secret(TEXT)}) == 1
    assert Secret(TEXT).matches(TEXT)
    assert not Secret(TEXT).matches("é\udcff")
    assert Secret(TEXT).reveal() == TEXT


def test_references_resolve(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "k").write_bytes(b"from-file\r\n")
    assert resolve("env:K", {"K": "from-env"}, tmp_path).reveal() == "from-env"
    assert resolve("file:keys/k", {}, tmp_path).reveal() == "from-file"
    assert resolve(f"file:{tmp_path}/keys/k", {}, Path("/nowhere")).reveal() == "from-file"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty."),
        (b"\n\n", "is empty."),
        (b"one\ntwo\n", "holds several lines or a control character."),
        (b"a\x00b", "holds several lines or a control character."),
        (b" padded\n", "starts or ends with a space."),
        ("schlüssel".encode(), "holds a character that a header can't carry."),
        (b"\xff\xfe", "is not UTF-8 text."),
        (b"x" * 65_537, "is larger than 64 KiB."),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    with pytest.raises(Setup) as caught:
        resolve("file:k", {}, tmp_path)
    assert caught.value.problem == f"The secret file {path} {problem}"
    assert caught.value.hint


def test_what_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for reference, problem in {
        "env:GONE": "The environment variable GONE is not set.",
        "env:EMPTY": "The environment variable EMPTY is empty.",
        "env:LINES": "The environment variable LINES holds several lines or a control character.",
        "file:gone": f"There is no secret file {tmp_path}/gone.",
        "file:.": f"{tmp_path} is a folder.",
        "file:pipe": f"{tmp_path}/pipe is not a file.",
        "sk-nothing-of-the-kind": "This is not a reference to a secret.",
    }.items():
        with pytest.raises(Setup) as caught:
            resolve(reference, {"EMPTY": "", "LINES": "a\nb"}, tmp_path)
        assert caught.value.problem == problem
        assert caught.value.hint


def test_a_file_that_everybody_may_read_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text("x")
    path.chmod(0o644)
    assert open_to_others("file:k", tmp_path) == (
        f"Every user of this machine may read {path}. Run `chmod 600 {path}`."
    )
    path.chmod(0o640)
    assert open_to_others("file:k", tmp_path) is None
    assert open_to_others("file:gone", tmp_path) is None
    assert open_to_others("env:K", tmp_path) is None


def test_a_file_is_read_again_after_a_minute_or_on_reload(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text("one")
    secrets = Secrets({}, tmp_path)
    assert secrets.get("file:k", 0.0).reveal() == "one"
    path.write_text("two")
    assert secrets.get("file:k", 59.0).reveal() == "one"
    assert secrets.get("file:k", 60.0).reveal() == "two"
    path.write_text("three")
    secrets.reload()
    assert secrets.get("file:k", 61.0).reveal() == "three"


def test_the_last_good_text_is_kept_while_a_file_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text("one")
    secrets = Secrets({}, tmp_path)
    secrets.get("file:k", 0.0)
    path.unlink()
    assert secrets.get("file:k", 100.0).reveal() == "one"
    path.write_text("two")
    assert secrets.get("file:k", 200.0).reveal() == "two"


def test_check_names_every_reference_that_fails(tmp_path: Path) -> None:
    secrets = Secrets({"K": "value-of-k"}, tmp_path)
    with pytest.raises(Setup) as caught:
        secrets.check(["env:K", "env:A", "file:b", "env:A"], 0.0)
    assert str(caught.value).count("not set") == 1
    assert "There is no secret file" in str(caught.value)
    assert "value-of-k" not in str(caught.value)
    assert [s.reveal() for s in secrets.known()] == ["value-of-k"]
    secrets.check(["env:K"], 0.0)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key=correct-horse-battery.", "key=***."),
        ("sk-proj-abc_DEF123456 failed", "*** failed"),
        ("Bearer abcdefgh.12345678=", "Bearer ***"),
        ("hr_0123456789abcdef", "***"),
        ("jwt eyJhbGciOiJub25l.eyJzdWIiOiIx.c2lnbmF0dXJl end", "jwt *** end"),
        ("AccountName=a;AccountKey=Zm9vYmFy+/==;X=y", "AccountName=a;AccountKey=***;X=y"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nafter",
            "***\nafter",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut off", "***"),
        ("risk-assessment of the task-force", "risk-assessment of the task-force"),
        ("gpt-4o-mini and smollm2-135m-instruct", "gpt-4o-mini and smollm2-135m-instruct"),
        ("", ""),
    ],
)
def test_the_scrubber_takes_out_known_and_likely_secrets(text: str, clean: str) -> None:
    assert redact(text, [Secret(TEXT)]) == clean
    assert Scrubber([Secret(TEXT)]).scrub(clean) == clean


def test_a_secret_within_another_leaves_no_rest() -> None:
    scrubber = Scrubber([Secret("abcdef"), Secret("abcdef-and-more")])
    assert scrubber.scrub("abcdef-and-more abcdef") == "*** ***"
    assert "abcdef" not in repr(scrubber)


def test_a_secret_with_signs_of_regular_expressions_is_taken_as_text() -> None:
    assert redact("a.*+(b a.*+(b]", [Secret("a.*+(b")]) == "*** ***]"
