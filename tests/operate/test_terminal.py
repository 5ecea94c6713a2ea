"""What a person is told who starts a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.operate.serve import Serving
from headrace.operate.terminal import key_lines
from headrace.platform.secrets import Secret


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"key": Secret("hr_made"), "key_is_new": True}, "hr_made  (made now, kept"),
        ({"own_keys": (("shop", "env:SHOP"),), "registered": True}, "$SHOP, the key 'shop'"),
        ({"registered": True, "issuers": ("entra",)}, "`headrace keys list`"),
        ({"issuers": ("entra", "okta")}, "an access token of entra or okta"),
        ({}, "`headrace keys create NAME`"),
    ],
    ids=["generated", "of the file", "virtual", "tokens", "none"],
)
def test_calls_are_made_with_what_there_is(known: dict[str, Any], told: str) -> None:
    serving = {"key": None, "key_is_new": False, "config": Path("headrace.yaml")} | known
    assert told in "\n".join(key_lines(Serving("http://127.0.0.1:1/v1", ["one"], **serving)))
