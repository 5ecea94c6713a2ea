"""Which behaviour a call gets: from its own script, else a rule, else the default."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from headrace_upstream.asked import Asked
from headrace_upstream.behaviour import Behaviour, behaviour_from

_MARK = re.compile(r"\[\[script\s+(\{.*?\})\s*\]\]", re.DOTALL)
_PREFIX = "script:"
_HEADER = b"x-script"


class Match(Struct, frozen=True, forbid_unknown_fields=True):
    """What a rule applies to. Null matches all; all given must fit."""

    path: str | None = None
    """Any part of the path."""
    model: str | None = None
    """The model in the body, exactly."""
    deployment: str | None = None
    """Azure's deployment in the path, exactly."""
    tag: str | None = None
    """The tag of the port that the call came in on."""
    stream: bool | None = None

    def fits(self, asked: Asked, path: str, tag: str) -> bool:
        return (
            (self.path is None or self.path in path)
            and (self.model is None or self.model == asked.body.model)
            and (self.deployment is None or self.deployment == asked.route.deployment)
            and (self.tag is None or self.tag == tag)
            and (self.stream is None or self.stream == asked.stream)
        )


class Rule:
    """A behaviour for the calls that match: always, `times` times, or for `percent` of them."""

    def __init__(
        self, behaviour: Behaviour, match: Match, times: int | None, percent: float, seed: int
    ) -> None:
        self.behaviour = behaviour
        self.match = match
        self.left = times
        self.percent = percent
        self._dice = random.Random(seed)

    def take(self, asked: Asked, path: str, tag: str) -> bool:
        """Whether this call is the rule's; uses up one of its times."""
        if self.left == 0 or not self.match.fits(asked, path, tag):
            return False
        if self.percent < 100 and self._dice.random() * 100 >= self.percent:
            return False
        if self.left is not None:
            self.left -= 1
        return True


class ScriptBook:
    """The default and the rules. Rules are tried in the order in which they were added."""

    def __init__(self, default: Behaviour) -> None:
        self._first_default = default
        self.default = default
        self.rules: list[Rule] = []
        self._inline: dict[bytes, Behaviour] = {}

    def set_default(self, overlay: Mapping[str, Any] | Behaviour) -> None:
        self.default = behaviour_from(overlay, self.default)
        self._inline.clear()

    def add(
        self,
        overlay: Mapping[str, Any] | Behaviour,
        match: Match = Match(),  # noqa: B008 - frozen
        times: int | None = None,
        percent: float = 100.0,
        seed: int = 0,
    ) -> None:
        self.rules.append(Rule(behaviour_from(overlay, self.default), match, times, percent, seed))

    def clear(self) -> None:
        """Back to the start: no rules, the first default."""
        self.rules.clear()
        self._inline.clear()
        self.default = self._first_default

    def choose(
        self, asked: Asked, body: bytes, headers: Mapping[bytes, bytes], path: str, tag: str
    ) -> Behaviour:
        """The behaviour for this call. Raises ValueError where its own script is wrong."""
        if (b"script" in body or _HEADER in headers) and (script := _inline_script(asked, headers)):
            return self._parse(script)
        for rule in self.rules:
            if rule.take(asked, path, tag):
                return rule.behaviour
        return self.default

    def _parse(self, script: bytes) -> Behaviour:
        behaviour = self._inline.get(script)
        if behaviour is None:
            overlay = msgspec.json.decode(script, type=dict[str, Any])
            behaviour = behaviour_from(overlay, self.default)
            if len(self._inline) >= 1024:
                self._inline.clear()
            self._inline[script] = behaviour
        return behaviour


def without_script(text: str) -> str:
    """The text with its script marks removed."""
    return _MARK.sub("", text).strip() if "[[script" in text else text


def _inline_script(asked: Asked, headers: Mapping[bytes, bytes]) -> bytes | None:
    """The call's own script: in the last user text, in `user`, in `metadata`, in a header."""
    if match := _MARK.search(asked.last_user_text):
        return match[1].encode()
    metadata = asked.body.metadata or {}
    for text in (asked.body.user, metadata.get("script"), metadata.get("user_id")):
        if isinstance(text, str) and text.startswith(_PREFIX):
            return text.removeprefix(_PREFIX).encode()
    return headers.get(_HEADER)
