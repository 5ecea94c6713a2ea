"""The configuration in force, and how the file differs from it."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from headrace.config.loading import load, with_found
from headrace.config.problems import ConfigError
from headrace.edge.admin.route import Ask
from headrace.edge.config_in_force import ConfigInForce, text_of
from headrace.edge.worker_sockets import ask_one
from headrace.errors import Setup
from headrace.gateway.administration.faults import Denied, Why


class ConfigView(Struct, frozen=True, kw_only=True):
    """The configuration in force, as YAML with all defaults: with references to secrets, and no
    secret."""

    source: str | None
    """The file; null where there is none and what was found is served."""
    running: str
    file: str | None
    """What the file says now, in the same form; null if it cannot be taken up, or is not there."""
    problems: list[str]
    """Why the file cannot be taken up."""
    diff: list[str]
    """From what is in force to the file: lines of a unified diff, none if they are the same."""
    restart: list[str]
    """Settings that changed since the start and are taken up at the next one."""


def configured(ask: Ask) -> ConfigView:
    """Raises Denied."""
    try:
        answer = ask_one(ask.parts.folder, "GET", "/config")
    except (OSError, ValueError) as error:
        raise Denied(Why.UNAVAILABLE, "The workers do not answer just now.") from error
    if answer is None or answer[0] != 200:
        raise Denied(Why.NOT_FOUND, "No worker runs here just now.")
    now = msgspec.convert(answer[1], ConfigInForce)
    file, problems = _file(now)
    lines = () if file is None else difflib.unified_diff(
        now.text.splitlines(), file.splitlines(), "in force", "file", n=3, lineterm=""
    )  # fmt: skip
    return ConfigView(
        source=now.source,
        running=now.text,
        file=file,
        problems=problems,
        diff=list(lines),
        restart=now.restart,
    )


def _file(now: ConfigInForce) -> tuple[str | None, list[str]]:
    """What the file says now, or what is wrong with it."""
    if now.source is None:
        return None, []
    try:
        found = with_found(load(Path(now.source)), os.environ, now.local_available)
    except ConfigError as error:
        return None, [str(problem) for problem in error.problems]
    except Setup as fault:
        return None, [str(fault)]
    return text_of(found.config, now.listening), []
