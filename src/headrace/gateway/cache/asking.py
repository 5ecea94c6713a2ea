"""What a call asks of the cache, read from its body: under what its answer may be found. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from headrace.config.caching import CachePolicy, Partition
from headrace.gateway import canonical
from headrace.gateway.answer_cache import repeatable
from headrace.gateway.canonical import Canonical
from headrace.nouns import Call, Caller, Operation

QUESTION_CHARACTERS = 2_000
"""A longer question is looked for word by word alone: embeddings see no more of it than this."""
_CHATS = frozenset({Operation.CHAT, Operation.MESSAGES})
MOST_TAGS, TAG_CHARACTERS = 16, 128
TAGS, WRONG = b"x-headrace-cache-tags", b"x-headrace-cache-wrong"
_NO_STORE, _NO_CACHE = "no-store", "no-cache"
_encode = msgspec.json.Encoder(order="sorted").encode


class Asked(Struct):
    """What finds an answer, or keeps it."""

    partition: str
    exact: bytes
    """Digest of all that decides the answer."""
    around: bytes
    """The same without the last question: history, system prompt, model, parameters."""
    question: str
    """The last question; empty if there is none to compare."""
    refresh: bool
    """The client wants a new answer, which then is kept."""
    wrong: str | None = None
    """A call whose kept answer was wrong, as the client says: this one then gets a new answer."""
    vector: Any = None
    """Of the question, once it is embedded."""


def asked(call: Call, policy: CachePolicy) -> Asked | None:
    """None for a call whose answer is neither given again nor kept: see `docs/cache.md`."""
    wishes, wrong = _wishes(call)
    if _NO_STORE in wishes:
        return None
    read = canonical.of_call(call)
    if read is None or not repeatable(read.members):
        return None
    temperature = read.members.get("temperature")
    if isinstance(temperature, (int, float)) and temperature > policy.most_temperature:
        return None
    partition = partition_of(call.caller, policy.partition)
    exact = canonical.digest(call, read, partition)
    question, around = "", b""
    if policy.answers == "semantic" and call.operation in _CHATS:
        question, rest = _last_question(read.members)
        if question:
            around = canonical.digest(call, Canonical(rest, _encode(rest)), f"around {partition}")
    refresh = _NO_CACHE in wishes or wrong is not None
    return Asked(partition, exact, around, question, refresh, wrong)


def partition_of(caller: Caller, kind: Partition) -> str:
    """Whose answers a caller gets. JSON, so that no name can pass for two."""
    if kind == "shared":
        parts: tuple[str, ...] = ("shared",)
    elif kind == "tenant":
        parts = ("tenant", caller.tenant)
    elif kind == "team" and caller.team is not None:
        parts = ("team", caller.tenant, caller.team)
    else:
        parts = ("key", caller.tenant, caller.key_id)
    return msgspec.json.encode(parts).decode()


def partition_name(partition: str) -> str:
    """As an operator writes it: `shared`, `tenant/acme`, `team/acme/red`, `key/acme/ID`."""
    return "/".join(msgspec.json.decode(partition, type=list[str]))


def tags_of(call: Call) -> tuple[str, ...]:
    """By what its answer can be purged: `model=NAME`, the key's own tags as `NAME=VALUE`, and what
    the client says in `x-headrace-cache-tags`, with commas between."""
    tags = [f"model={call.model}", *(f"{name}={value}" for name, value in call.caller.tags)]
    for name, value in call.headers:
        if name == TAGS:
            said = (part.strip() for part in value.decode("latin-1").split(","))
            tags += [tag for tag in said if 0 < len(tag) <= TAG_CHARACTERS][:MOST_TAGS]
    return tuple(tags)


def _wishes(call: Call) -> tuple[set[str], str | None]:
    """Directives of `Cache-Control` (RFC 9111, section 5.2.1), and the call that is flagged."""
    found: set[str] = set()
    wrong = None
    for name, value in call.headers:
        if name == b"cache-control":
            found.update(part.strip().lower() for part in value.decode("latin-1").split(","))
        elif name == WRONG:
            wrong = value.strip().decode("latin-1")
    return found, wrong


def _last_question(members: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The text of the user's last turn, and the members without it."""
    messages = members.get("messages")
    if not isinstance(messages, list) or not messages:
        return "", {}
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "user":
        return "", {}
    content = last.get("content")
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        part = content[0]
        content = part.get("text") if part.keys() == {"type", "text"} else None
    if not isinstance(content, str) or not content.strip():
        return "", {}
    if len(content) > QUESTION_CHARACTERS:
        return "", {}
    return content, {**members, "messages": [*messages[:-1], {**last, "content": None}]}
