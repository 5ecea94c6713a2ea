"""`headrace config check` and `schema`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from headrace.config.loading import load, locate
from headrace.config.problems import ConfigError, Problem
from headrace.config.reference import json_schema
from headrace.errors import Setup
from headrace.gateway.by_address import shared_address
from headrace.gateway.unpriced_budgets import unpriced_budgets
from headrace.operate.surroundings import lacking

NOT_READY = 3


def check_config(file: Path | None, *, as_json: bool) -> int:
    """Prints what is wrong; returns the exit code."""
    problems: list[str] = []
    warnings: list[str] = []
    details: list[dict[str, object]] = []
    source: Path | None = None
    try:
        source = locate(file, os.environ, Path.cwd())
        if source is None:
            raise Setup(
                "There is no headrace.yaml here.", "Name one: `headrace config check FILE`."
            )
        loaded = load(source)
        shared = shared_address(loaded, loaded.config.server.host)
        found = (*loaded.warnings, *unpriced_budgets(loaded), *shared)
        warnings = [str(warning) for warning in found]
        if missing := lacking(loaded, os.environ):
            raise ConfigError(missing)
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems]
        details = [_detail(problem) for problem in error.problems]
    except Setup as fault:
        problems = str(fault).splitlines()
        details = [{"what": fault.problem, "instead": fault.hint or ""}]
    if as_json:
        report: dict[str, object] = {
            "file": None if source is None else str(source),
            "ok": not problems,
            "problems": details,
            "warnings": warnings,
        }
        print(json.dumps(report))
    else:
        for text in problems:
            print(text, file=sys.stderr)
        for text in warnings:
            print(f"warning: {text}", file=sys.stderr)
        if not problems:
            print(f"{source} is good.")
    return NOT_READY if problems else 0


def schema_text() -> str:
    """The JSON Schema, indented."""
    return json.dumps(json_schema(), indent=2)


def _detail(problem: Problem) -> dict[str, object]:
    return {
        "line": problem.line,
        "column": problem.column,
        "key": problem.key_path,
        "what": problem.what,
        "instead": problem.instead,
    }
