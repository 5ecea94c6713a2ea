"""The admin process with the console in it: what the gateway starts when `admin` is configured."""

from __future__ import annotations

from headrace.edge.admin.server import Pages
from headrace.operate import admin_process
from headrace.operate.admin_process import AdminOrder


def console_of(order: AdminOrder) -> Pages | None:
    """None if the order wants none."""
    if not order.console:
        return None
    from headrace.console.app import Console

    return Console()


if __name__ == "__main__":
    admin_process.main(console_of)
