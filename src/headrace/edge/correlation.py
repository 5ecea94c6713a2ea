"""The id that a call is known by: in its answer, the logs, the ledger and the audit log."""

from __future__ import annotations

import os
import random
import re
import time

_ids = random.Random(os.urandom(32))
"""Ids must differ, not be secret; the system's own source costs eight times as much."""
os.register_at_fork(after_in_child=lambda: _ids.seed(os.urandom(32)))
_CLIENT_ID = re.compile(rb"[A-Za-z0-9-]{8,64}\Z")


def correlation_id(offered: bytes | None) -> str:
    """The client's own id if it is fit for logs, else a new one: 8 hex digits of Unix seconds, then
    16 of chance. So ids that are made together stand together in the ledger's index of them, and
    its writer touches one page for many calls, not one for each."""
    if offered is not None and _CLIENT_ID.match(offered):
        return offered.decode("ascii")
    return "%08x%016x" % (int(time.time()), _ids.getrandbits(64))  # noqa: UP031 - the cheapest
