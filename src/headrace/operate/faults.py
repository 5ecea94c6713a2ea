"""How a command tells what stands in its way."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from headrace.errors import Setup


def print_fault(fault: Setup) -> None:
    """A problem and what mends it, on standard error."""
    console = Console(stderr=True, highlight=False)
    console.print(Text(fault.problem, style="bold red"), soft_wrap=True)
    if fault.hint is not None:
        console.print(Text(fault.hint), soft_wrap=True)
