"""How the configuration refers to a secret, which never stands in it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

SecretRef = Annotated[
    str,
    Meta(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$",
        description="a reference, `env:NAME` or `file:PATH`",
        extra={"secret": True},
    ),
]
