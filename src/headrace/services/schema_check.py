"""Whether an answer fits the JSON schema that its client gave, by the package `jsonschema-rs`.

A schema is a stranger's: nothing that it refers to is fetched, and its patterns run in time linear
in the text (no look-around, no back-references).
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.errors import Reason, Refused, Setup, install_extra

MOST_FAULTS = 8
FAULT_CHARACTERS = 300
PATTERN_BYTES = 1_000_000
"""Memory that one compiled pattern may take."""


def require_validator() -> None:
    """Raises Setup if the extra is not installed."""
    try:
        import jsonschema_rs  # noqa: F401
    except ImportError:
        raise Setup(
            "`structured_output` needs the package jsonschema-rs, which is not installed.",
            install_extra("structured"),
        ) from None


class SchemaCheck:
    """One schema. Raises Refused(BAD_REQUEST) for what is no JSON schema."""

    def __init__(self, schema: Any) -> None:
        import jsonschema_rs

        try:
            self._validator = jsonschema_rs.validator_for(
                schema,
                offline=True,
                pattern_options=jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES),
            )
        except (jsonschema_rs.ValidationError, ValueError, TypeError) as error:
            first = str(error).partition("\n")[0][:FAULT_CHARACTERS]
            raise Refused(
                Reason.BAD_REQUEST,
                f"The schema that the answer is to fit is no usable JSON schema: {first}.",
            ) from error

    def faults(self, text: str) -> list[str]:
        """Sentences on what does not fit, the first few; empty if all does."""
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            return [f"The text is not JSON alone: {error}."]
        except RecursionError:
            return ["The JSON is nested too deeply."]
        found = []
        for fault in self._validator.iter_errors(value):
            where = "".join(f"[{step!r}]" for step in fault.instance_path) or "the whole"
            found.append(f"At {where}: {fault.message[:FAULT_CHARACTERS]}.")
            if len(found) == MOST_FAULTS:
                break
        return found
