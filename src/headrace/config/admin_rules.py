"""What must hold for the port of administration."""

from __future__ import annotations

from headrace.config.located import Located
from headrace.config.masking import quoted
from headrace.config.schema import Config
from headrace.config.urls import is_loopback


def check_admin(config: Config, located: Located) -> None:
    admin = config.admin
    if admin is None:
        return
    if any(c.isspace() for c in admin.host) or "://" in admin.host:
        located.problem(
            ("admin", "host"), "this is not an address", "Write one such as `127.0.0.1`."
        )
    elif not is_loopback(admin.host) and admin.tls is None:
        located.warning(
            ("admin", "host"),
            "other machines can reach this address, and admin keys travel unencrypted",
            "Add `tls`, or leave `host` out and use a tunnel.",
        )
    if admin.port and admin.port == config.server.port:
        located.problem(
            ("admin", "port"),
            f"{admin.port} is the port that clients call",
            "Write another, such as 8081.",
        )
    for name, key in config.keys.items():
        if admin.key is not None and key.secret == admin.key:
            located.problem(
                ("admin", "key"),
                f"this is the secret of the key {quoted(name)} too, so clients could administer",
                "Give administration a secret of its own.",
            )
