"""What the types can't say of `oidc`."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from headrace.config.address_ranges import LOOPBACK, METADATA, PRIVATE, inner, is_in
from headrace.config.located import Located
from headrace.config.masking import quoted
from headrace.config.oidc import Issuer
from headrace.config.problems import KeyPath
from headrace.config.schema import Config

_NEAR = (
    "this is an address of this machine or of a private network, from where keys are fetched only "
    "if you say so",
    "Add `allow_private: true`, which lets plain HTTP too.",
)
_METADATA = (
    "this is the metadata service of a cloud, from where keys are never fetched",
    "Write the URL as the provider does.",
)


def check_oidc(config: Config, located: Located) -> None:
    seen: dict[str, str] = {}
    for name, issuer in config.oidc.issuers.items():
        path: KeyPath = ("oidc", "issuers", name)
        if issuer.issuer in seen:
            located.problem(
                (*path, "issuer"),
                f"this is the issuer of {quoted(seen[issuer.issuer])} too",
                "Write one entry for an issuer, with several `grants`.",
            )
        seen.setdefault(issuer.issuer, name)
        if not issuer.algorithms:
            located.problem(
                (*path, "algorithms"),
                "the list is empty, so no token would be good",
                "Write what the provider signs with, such as `[RS256]`.",
            )
        administers = located.is_written(("admin", "oidc", name))
        if not issuer.grants and not administers:
            located.problem(
                (*path, "grants"),
                "the list is empty, so no token would let anyone in",
                "Write what its tokens are good for; `[{}]` lets in all that are for this gateway.",
            )
        _check_urls(issuer, path, located)
        audiences = [issuer.audience] if isinstance(issuer.audience, str) else issuer.audience
        if not all(audiences) or not audiences:
            located.problem(
                (*path, "audience"),
                "without an audience, tokens for any other application would be accepted",
                "Write the client id or application URI of this gateway.",
            )


def _check_urls(issuer: Issuer, path: KeyPath, located: Located) -> None:
    asked = issuer.jwks_url or issuer.discovery_url or issuer.issuer
    for field in ("issuer", "jwks_url", "discovery_url"):
        url = getattr(issuer, field)
        if url is None:
            continue
        fault = _fault(url, plain=issuer.allow_private)
        if url == asked:
            fault = _nearness(url, allowed=issuer.allow_private) or fault
        if fault is not None:
            located.problem((*path, field), *fault)
    if (
        "{tenantid}" in issuer.issuer
        or "/common/" in issuer.issuer
        or "/organizations/" in issuer.issuer
    ):
        located.problem(
            (*path, "issuer"),
            "tokens never have this issuer: it stands for all directories of Entra",
            "Write one entry for each directory, with its id in the issuer.",
        )


def _fault(url: str, *, plain: bool) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "this is not a URL", "Write it as the provider does."
    if any(c.isspace() or not c.isprintable() for c in url) or not parts.hostname or port == 0:
        return "this is not a URL", "Write it as the provider does."
    if parts.username is not None or parts.password is not None:
        return "the URL has a user name or password in it", "Remove the part before `@`."
    if parts.scheme != "https" and not (plain and parts.scheme == "http"):
        return "the URL must start with `https://`", "Who can change its keys can be anyone."
    return None


def _nearness(url: str, *, allowed: bool) -> tuple[str, str] | None:
    """What is wrong with where a URL leads, as far as it tells: a name may still lead anywhere."""
    near = None if allowed else _NEAR
    try:
        host = urlsplit(url).hostname or ""
        if host == "localhost":
            return near
        address = inner(ipaddress.ip_address(host))
    except ValueError:
        return None
    if is_in(address, METADATA):
        return _METADATA
    return near if is_in(address, LOOPBACK) or is_in(address, PRIVATE) else None
