"""A scripted AI provider on a real socket, in the wire formats of OpenAI, Azure, Anthropic and
Google, with faults on demand. See docs/scripted-upstream.md."""

from headrace_upstream.behaviour import Behaviour, ToolCall, Usage
from headrace_upstream.journal import EndedLine, SeenLine, read_journal
from headrace_upstream.seen import Seen, Stats
from headrace_upstream.testing import ScriptedUpstream

__all__ = [
    "Behaviour",
    "EndedLine",
    "ScriptedUpstream",
    "Seen",
    "SeenLine",
    "Stats",
    "ToolCall",
    "Usage",
    "read_journal",
]
