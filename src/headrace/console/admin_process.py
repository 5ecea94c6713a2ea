"""The admin process with the console in it: what the gateway starts when `admin` is configured."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headrace.edge.admin.server import Pages
from headrace.operate import admin_process
from headrace.operate.admin_process import AdminOrder
from headrace.platform.secrets import Secret

if TYPE_CHECKING:
    from headrace.gateway.administration.sign_in import SignIn


def console_of(order: AdminOrder) -> Pages | None:
    """None if the order wants none."""
    if not order.console:
        return None
    from headrace.console.app import Console

    return Console(sign_ins=_sign_ins(order))


def _sign_ins(order: AdminOrder) -> dict[str, SignIn]:
    """Raises Setup if the extra is not installed."""
    if not any(rules.sign_in is not None for rules in order.tokens.values()):
        return {}
    from headrace.gateway.token_assembly import KeyStore, sign_ins

    secrets = {name: Secret(text) for name, text in order.client_secrets.items()}
    return sign_ins(order.tokens, order.oidc, KeyStore(os.environ), secrets)


if __name__ == "__main__":
    admin_process.main(console_of)
