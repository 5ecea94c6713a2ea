"""What makes calls one session, so that they go to one backend: its prompt cache is warm."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from headrace.gateway.models import Chosen
from headrace.nouns import Call


class _User(Struct):
    user: str | None = None


_users = msgspec.json.Decoder(_User)


def session_of(call: Call, chosen: Chosen) -> bytes | None:
    """By the body's `user` member or by a header, as the model's balance says. Kept apart by
    tenant."""
    name: bytes | None = None
    if chosen.affinity == "user":
        try:
            user = _users.decode(call.body).user
        except msgspec.MsgspecError:
            user = None
        name = None if user is None else user.encode()
    else:
        name = dict(call.headers).get(chosen.affinity_header)
    return None if not name else b"%b\0%b" % (call.caller.tenant.encode(), name)
