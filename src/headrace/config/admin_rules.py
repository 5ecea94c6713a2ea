"""What must hold for the port of administration."""

from __future__ import annotations

from urllib.parse import urlsplit

from headrace.config.admin_oidc import RoleGrant, SignIn
from headrace.config.located import Located
from headrace.config.masking import quoted
from headrace.config.problems import KeyPath
from headrace.config.schema import Admin, Config
from headrace.config.terms import network_of
from headrace.config.urls import is_loopback
from headrace.config.words import suggestion

BACK = "/console/sign-in/back"
"""Where the console waits for browsers that come from an identity provider."""


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
    _check_tokens(admin, config, located)
    for name, key in config.keys.items():
        if admin.key is not None and key.secret == admin.key:
            located.problem(
                ("admin", "key"),
                f"this is the secret of the key {quoted(name)} too, so clients could administer",
                "Give administration a secret of its own.",
            )


def _check_tokens(admin: Admin, config: Config, located: Located) -> None:
    for name, rules in admin.oidc.items():
        path: KeyPath = ("admin", "oidc", name)
        if name not in config.oidc.issuers:
            if name not in located.names_under(("oidc", "issuers")):
                located.problem(
                    path,
                    f"there is no issuer {quoted(name)}",
                    suggestion(name, config.oidc.issuers, "Write it under `oidc.issuers`."),
                )
            continue
        audience = rules.audience
        audiences = [audience] if isinstance(audience, str) else audience
        if audiences is not None and (not audiences or "" in audiences):
            located.problem(
                (*path, "audience"),
                "without an audience, tokens for any other application would be accepted",
                "Write the application URI of administration, or remove the line.",
            )
        if not rules.grants:
            located.problem(
                (*path, "grants"), "the list is empty, so no token would let anyone in",
                "Write one such as `{when: {groups: ID}, role: viewer}`.",
            )  # fmt: skip
        for i, grant in enumerate(rules.grants):
            _check_grant(grant, (*path, "grants", i), located)
        if rules.sign_in is not None:
            _check_sign_in(rules.sign_in, admin, (*path, "sign_in"), located)


def _check_sign_in(sign_in: SignIn, admin: Admin, path: KeyPath, located: Located) -> None:
    if not admin.console:
        located.problem(
            path, "there is no console to sign in to: `admin.console` is false",
            "Remove one of the two.",
        )  # fmt: skip
    if "openid" not in sign_in.scopes:
        located.problem(
            (*path, "scopes"), "without `openid` the provider does not say who signed in",
            "Add it, as in `[openid, profile]`.",
        )  # fmt: skip
    url = sign_in.redirect_url
    if url is None:
        return
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or parts.path != BACK or parts.query or parts.fragment or parts.username:
        located.problem(
            (*path, "redirect_url"),
            "the provider would not send browsers back to the console with it",
            f"Write one such as `https://headrace.example:8081{BACK}`.",
        )


def _check_grant(grant: RoleGrant, path: KeyPath, located: Located) -> None:
    if not grant.when or [] in grant.when.values():
        located.problem(
            (*path, "when"),
            "it says nothing of whom it is for",
            "Name a claim and its values: not every token of an issuer may administer.",
        )
    for field in ("tenants", "ip_ranges"):
        if getattr(grant, field) == []:
            located.problem(
                (*path, field), "the list is empty, so the grant is of no use",
                "Remove the line to allow all.",
            )  # fmt: skip
    for i, text in enumerate(grant.ip_ranges or ()):
        try:
            network_of(text)
        except ValueError:
            located.problem(
                (*path, "ip_ranges", i),
                f"{quoted(text)} is no address or range",
                "Write one such as `10.0.0.0/8`.",
            )
