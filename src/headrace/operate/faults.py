"""How a command tells what stands in its way."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from headrace.errors import Setup


class Unfinished(Setup):
    """The work was begun and could not be done."""

    exit_code = 1


def of_system(error: OSError) -> Setup:
    """What the system refused and no command has better words for."""
    named = error.filename if isinstance(error.filename, str) else None
    if isinstance(error, PermissionError):
        return Setup(
            f"This user may not use {named or 'what this needs'}.",
            "Run it as the user that runs the gateway, or name other files with --config.",
        )
    what = error.strerror or str(error)
    return Unfinished(f"It could not be done: {what}{'' if named is None else f': {named}'}.")


def print_fault(fault: Setup) -> None:
    """A problem and what mends it, on standard error."""
    console = Console(stderr=True, highlight=False)
    console.print(Text(fault.problem, style="bold red"), soft_wrap=True)
    if fault.hint is not None:
        console.print(Text(fault.hint), soft_wrap=True)
