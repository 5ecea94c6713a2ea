"""What is wrong with a command line, in the words of whoever typed it."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import (
    Argument,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    Token,
    UnusedCliTokensError,
)
from rich.text import Text

_KINDS: dict[type | None, str] = {int: "a whole number", float: "a number"}


def whole_number(_: type, tokens: Sequence[Token]) -> int:
    """A value of the command line, which the parser would have rounded: `1.5` is no mistake to it.
    Raises CoercionError, which the parser tells by way of `told`."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise CoercionError(token=tokens[0], target_type=int) from None


def told(error: CycloptsError) -> Text:
    """A line with what is wrong and one with where to look, as for every other fault."""
    command = " ".join(("headrace", *(error.command_chain or ())))
    text = Text(_problem(error, command), style="bold red")
    return text.append(f"\nSee `{command} --help`.", style="not bold default")


def _problem(error: CycloptsError, command: str) -> str:
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"`{command}` has no use for {' '.join(map(repr, error.unused_tokens))}."
    if type(error) is MissingArgumentError and error.argument is not None:
        if error.keyword is None and error.argument.field_info.is_positional:
            name = _named(error.argument)
            return f"{name} is missing: `{command} {name}`."
        return f"{error.keyword or error.argument.name} needs a value behind it."
    if isinstance(error, CoercionError) and error.token is not None and error.argument is not None:
        kind = _KINDS.get(error.target_type)
        if kind is not None:
            name = error.token.keyword or _named(error.argument)
            return f"{name} takes {kind}, not {error.token.value!r}."
    return str(error)


def _named(argument: Argument) -> str:
    """The parser names what has a place on the line as if it were an option: `--name`."""
    return argument.name.lstrip("-").upper() if argument.field_info.is_positional else argument.name
