"""What is wrong with a command line, in the words of whoever typed it."""

from __future__ import annotations

from cyclopts import CoercionError, CycloptsError, MissingArgumentError, UnusedCliTokensError
from rich.text import Text

_KINDS: dict[type | None, str] = {int: "a whole number", float: "a number"}


def told(error: CycloptsError) -> Text:
    """A line with what is wrong and one with where to look, as for every other fault."""
    command = " ".join(("headrace", *(error.command_chain or ())))
    text = Text(_problem(error, command), style="bold red")
    return text.append(f"\nSee `{command} --help`.", style="not bold default")


def _problem(error: CycloptsError, command: str) -> str:
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"`{command}` has no use for {' '.join(map(repr, error.unused_tokens))}."
    # The parser names what has a place on the line as if it were an option: `--name`.
    if type(error) is MissingArgumentError and error.argument is not None:
        argument = error.argument
        if error.keyword is None and argument.field_info.is_positional:
            name = argument.name.lstrip("-").upper()
            return f"{name} is missing: `{command} {name}`."
        return f"{error.keyword or argument.name} needs a value behind it."
    kind = _KINDS.get(error.target_type) if isinstance(error, CoercionError) else None
    if isinstance(error, CoercionError) and kind is not None and error.token is not None:
        named = error.token.keyword or (error.argument.name if error.argument else "It")
        return f"{named} takes {kind}, not {error.token.value!r}."
    return str(error)
