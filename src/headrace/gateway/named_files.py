"""Files that a chat names: a provider would read another tenant's too, for all use the same key."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from headrace.data.database import DatabaseAway
from headrace.errors import Refused
from headrace.gateway import kept_files
from headrace.gateway.pipeline import Pipeline
from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.nouns import Call

_MEMBERS = frozenset({"file_id", "file_ids"})
"""In the bodies of all clients: https://platform.openai.com/docs/guides/pdf-files,
https://docs.anthropic.com/en/docs/build-with-claude/files."""
_BACKSLASH = ord("\\")
_ESCAPE = b"\\u00"
_ESCAPED_LETTER = re.compile(rb"\\u00(?:6[69cC45]|5[fF]|73)")
"""One of those letters as JSON may write it, so that the name cannot be seen."""
_json = msgspec.json.Decoder()


def may_name(call: Call) -> bool:
    """Whether the body has to be looked at: hardly any has. A form's files are its own."""
    body = call.body
    if call.passed is not None:
        return False
    # By `find`, and a number: bytes that are looked for by `in` make and drop an exception.
    return body.find(b"file_id") >= 0 or (
        _BACKSLASH in body and body.find(_ESCAPE) >= 0 and _ESCAPED_LETTER.search(body) is not None
    )


async def refused(call: Call, reply: Reply, pipeline: Pipeline) -> bool:
    """Refuses a call that names a file which another tenant uploaded; true if it did."""
    ids, store = named(_json.decode(call.body)), pipeline.parts.files
    if not ids or store is None:
        return False
    try:
        foreign = await store.of_others(call.caller.tenant, sorted(ids))
        fault: Refused | None = None if foreign is None else kept_files.unknown(foreign)
    except DatabaseAway as away:
        fault = kept_files.away(away)
    if fault is None:
        return False
    progress = Progress()
    pipeline.refuse(fault, call, reply, progress)
    pipeline.settle(call, progress)
    return True


def named(body: Any) -> set[str]:
    """Ids of files anywhere in a JSON value."""
    found: set[str] = set()
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            for name, member in value.items():
                if name in _MEMBERS and isinstance(member, str):
                    found.add(member)
                elif name in _MEMBERS and isinstance(member, list):
                    found.update(id for id in member if isinstance(id, str))
                else:
                    waiting.append(member)
    return found
