"""What makes calls one session, so that they go to one backend: its prompt cache is warm."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from headrace.gateway.models import Chosen
from headrace.nouns import Call


class _Metadata(Struct):
    user_id: str | None = None


class _User(Struct):
    """`user` is OpenAI's word, `metadata.user_id` Anthropic's."""

    user: str | None = None
    metadata: _Metadata | None = None


_users = msgspec.json.Decoder(_User)


def session_of(call: Call, chosen: Chosen) -> bytes | None:
    """By the user that the body names or by a header, as the model's balance says. Kept apart by
    tenant."""
    name: bytes | None = None
    if chosen.affinity == "user":
        try:
            read = _users.decode(call.body)
            user = read.user
            if user is None and read.metadata is not None:
                user = read.metadata.user_id
        except msgspec.MsgspecError:
            user = None
        name = None if user is None else user.encode()
    else:
        name = dict(call.headers).get(chosen.affinity_header)
    return None if not name else b"%b\0%b" % (call.caller.tenant.encode(), name)
