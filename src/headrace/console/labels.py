"""Refusals that name a form's field by its label, as the page does, in place of the API's member.
Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from headrace.edge.admin.asked import Refusal

_INDEX = re.compile(r"\[\d+\]")


@contextmanager
def labelled(labels: Mapping[str, str]) -> Iterator[None]:
    """`labels` are by member, without places in lists: `budgets.usd` for `budgets[0].usd`. Raises
    Refusal with the label where there is one."""
    try:
        yield
    except Refusal as refusal:
        label = labels.get(_INDEX.sub("", refusal.param or ""))
        if label is None:
            raise
        message = refusal.message.replace(f"`{refusal.param}`", label, 1)
        raise Refusal(refusal.status, refusal.code, message, refusal.param) from refusal
