"""Puts one way of saying something for another, by tables of several hundred such forms, of which a
text has a few. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

_START = re.compile(r"\b\w{1,3}")
"""What a word is looked for by: its first letters, or all of a shorter one."""


class Form(NamedTuple):
    """One way of saying something."""

    words: tuple[str, ...]
    """One of them is in each text that has the pattern, from the beginning of a word on."""
    pattern: re.Pattern[str]
    put: str | Callable[[re.Match[str]], str]


class Table:
    """Forms, in the order in which they are put. Which of them a text may have is found by how its
    words begin: to look for each word of a table takes three times as long."""

    def __init__(self, forms: Iterable[Form]) -> None:
        self.forms = tuple(forms)
        begun: dict[str, list[int]] = {}
        for at, form in enumerate(self.forms):
            for start in {_START.findall(word)[0] for word in form.words}:
                begun.setdefault(start, []).append(at)
        self._begun = begun

    def put(self, text: str) -> str:
        """`text`, with what stands for each form that it has, or gets by one before."""
        after = 0
        while True:
            for at in self._possible(text, after):
                form = self.forms[at]
                for word in form.words:
                    if word in text:
                        break
                else:
                    continue
                changed = form.pattern.sub(form.put, text)
                if changed != text:
                    text, after = changed, at + 1
                    break
            else:
                return text

    def _possible(self, text: str, after: int) -> list[int]:
        begun = self._begun
        places: set[int] = set()
        for start in _START.findall(text):
            if start in begun:
                places.update(begun[start])
        return sorted(at for at in places if at >= after)
