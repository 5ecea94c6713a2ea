"""Every mistake that an operator is likely to make, and the exact words that answer it.

`bad_files.txt` holds files with their answers; those that are not text a person would write are
here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.config.loading import loaded
from headrace.config.problems import ConfigError

NAME = Path("headrace.yaml")
EMPTY = (
    "headrace.yaml: the file is empty. Write your backends and models, or delete the file to serve "
    "what Headrace finds."
)
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n".encode()
    for before, name in zip("abcdef", "bcdefg", strict=True)
)


def written_cases() -> dict[str, tuple[str, list[str]]]:
    text = Path(__file__).with_name("bad_files.txt").read_text("utf-8")
    cases: dict[str, tuple[str, list[str]]] = {}
    for part in text.split("\n==== ")[1:]:
        name, _, rest = part.partition("\n")
        file, _, answer = rest.partition("==>\n")
        assert name not in cases
        cases[name] = (file, answer.splitlines())
    return cases


CASES = written_cases()


def answers(data: bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(data, NAME)
    assert str(caught.value) == "\n".join(str(problem) for problem in caught.value.problems)
    return str(caught.value).split("\n")


def test_the_table_is_read_whole() -> None:
    assert len(CASES) > 100


@pytest.mark.parametrize("name", CASES)
def test_a_bad_file_is_answered_with_these_words(name: str) -> None:
    file, expected = CASES[name]
    assert answers(file.encode()) == expected


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"", EMPTY),
        (b"\xef\xbb\xbf\n\n", EMPTY),
        (
            b"server:\n  host: \xff\n",
            "headrace.yaml:2: this line is not UTF-8 text. Save the file as UTF-8.",
        ),
        (
            b"#" * (1024 * 1024 + 1),
            "headrace.yaml: the file is larger than 1 MiB. Check the path: is this Headrace's own "
            "file?",
        ),
        (
            b"server: {}\nstore: \x07\n",
            "headrace.yaml:2: an invisible control character is in this line. Delete it and "
            "retype.",
        ),
        (
            b"a: " + b"[" * 5000,
            "headrace.yaml:1: the file nests deeper than 40 levels. Check the brackets.",
        ),
        (
            BOMB,
            "headrace.yaml:1: aliases make the file nest or grow without bound. Write the values "
            "out instead of using `&` and `*`.",
        ),
    ],
    ids=["empty", "only a mark", "not UTF-8", "huge", "control", "deep", "bomb"],
)
def test_a_file_that_no_person_wrote_is_answered_too(data: bytes, answer: str) -> None:
    assert answers(data) == [answer]


def test_problems_carry_their_place() -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(b"server:\n  port: 1\n  prt: 2\n", NAME)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == ("headrace.yaml", 3, 3)
    assert (problem.key_path, problem.what) == ("server.prt", "unknown key")
    assert problem.instead.startswith("Known here: ")


def test_many_problems_are_all_kept_and_the_first_fifty_shown() -> None:
    data = b"server:\n" + b"".join(f"  zz{i:03}: 1\n".encode() for i in range(70))
    with pytest.raises(ConfigError) as caught:
        loaded(data, NAME)
    assert len(caught.value.problems) == 70
    assert str(caught.value).endswith("\n... and 20 more problems.")
