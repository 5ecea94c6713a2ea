"""What is wrong with a configuration, said for the person who wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headrace.config.masking import quoted
from headrace.errors import Setup

KeyPath = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the file; both count from 1, and line 0 stands for the file as a whole."""

    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to change. `what` is wrong; `instead` is a sentence that says what to write."""

    file: str
    line: int
    column: int
    key_path: str
    what: str
    instead: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        key = f"{self.key_path}: " if self.key_path else ""
        return f"{where}{key}{self.what}. {self.instead}".rstrip()


class ConfigError(Setup):
    """The configuration can't be used. `problems` holds every problem found, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
        lines = [str(problem) for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"... and {len(self.problems) - _SHOWN} more problems.")
        super().__init__("\n".join(lines))


class Findings:
    """Collects the problems and warnings of one file while it is read."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def problem(self, place: Place, path: Sequence[str | int], what: str, instead: str) -> None:
        self.problems.append(self._made(place, path, what, instead))

    def warning(self, place: Place, path: Sequence[str | int], what: str, instead: str) -> None:
        self.warnings.append(self._made(place, path, what, instead))

    def _made(self, place: Place, path: Sequence[str | int], what: str, instead: str) -> Problem:
        return Problem(self._file, place.line, place.column, rendered_path(path), what, instead)


def rendered_path(path: Sequence[str | int]) -> str:
    """`models."gpt-4.1".pools[0][1]`: the words a person would use to find the place."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        bare = _BARE.fullmatch(part) and quoted(part) != '"***"'
        text += ("." if text else "") + (part if bare and len(part) <= 60 else quoted(part))
    return text
