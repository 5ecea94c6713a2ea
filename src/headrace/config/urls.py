"""Whether a base URL can be used, and what to write instead."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from headrace.config.masking import quoted

_ENDPOINTS = (
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/responses",
    "/models",
    "/v1/messages",
)


def url_fault(url: str) -> tuple[str, str] | None:
    """What is wrong with a base URL and what to write instead, or None. Never quotes a key."""
    example = "Write it as in `https://api.openai.com/v1`."
    what, parts = _split(url)
    if parts is None:
        return what, example
    host = parts.hostname
    if parts.scheme not in ("http", "https"):
        if "://" in url:
            return "the URL must start with `https://` or `http://`", example
        return "the URL has no `https://` or `http://` in front", example
    if parts.username is not None or parts.password is not None:
        return (
            "the URL has a user name or password in it",
            "Remove the part before `@`, and write `credential: env:NAME`.",
        )
    if not host:
        return "the URL has no host", example
    if parts.port == 0:
        return "the URL has port 0", "Write the server's port."
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return (
            "the URL has a query (`?`) or fragment (`#`)",
            "Remove it: keys belong in `credential`, Azure's version in `api_version`.",
        )
    return _endpoint_fault(parts)


def _split(url: str) -> tuple[str, SplitResult | None]:
    """The parts of a URL that can be one, else why it cannot."""
    if any(c.isspace() or not c.isprintable() for c in url):
        return "the URL has a space or control character in it", None
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port  # these are read when they are asked for
    except ValueError:
        return "this is not a URL", None
    return "", parts


def _endpoint_fault(parts: SplitResult) -> tuple[str, str] | None:
    path = parts.path.rstrip("/")
    for endpoint in _ENDPOINTS:
        if path.endswith(endpoint):
            base = f"{parts.scheme}://{parts.netloc}{path.removesuffix(endpoint)}"
            return (
                f"the URL ends in `{endpoint}`, which Headrace adds itself",
                f"Write the base URL: {quoted(base, 120)}.",
            )
    return None


def azure_url_fault(url: str) -> tuple[str, str] | None:
    """As `url_fault`, and Azure's endpoint must be without the path that Headrace adds."""
    fault = url_fault(url)
    if fault is not None:
        return fault
    parts = urlsplit(url)
    if "/openai" in parts.path:
        base = quoted(f"{parts.scheme}://{parts.netloc}", 120)
        return "the URL has `/openai` in it, which Headrace adds itself", f"Write {base}."
    return None


def anthropic_url_fault(url: str) -> tuple[str, str] | None:
    """As `url_fault`, and Anthropic's base URL is without the `/v1` that Headrace adds."""
    return url_fault(url) or _version_fault(url, "/v1")


def cohere_url_fault(url: str) -> tuple[str, str] | None:
    """As `url_fault`, and Cohere's base URL is without the `/v2` that Headrace adds."""
    return url_fault(url) or _version_fault(url, "/v2")


def _version_fault(url: str, version: str) -> tuple[str, str] | None:
    if urlsplit(url).path.rstrip("/").endswith(version):
        base = quoted(url.rstrip("/").removesuffix(version), 120)
        return f"the URL ends in `{version}`, which Headrace adds itself", f"Write {base}."
    return None


def google_url_fault(url: str) -> tuple[str, str] | None:
    """As `url_fault`, and Gemini's base URL has a version, for its paths are not one API's."""
    fault = url_fault(url)
    if fault is not None:
        return fault
    parts = urlsplit(url)
    if not parts.path.strip("/"):
        base = quoted(f"{parts.scheme}://{parts.netloc}/v1beta", 120)
        return "the URL has no version of the API", f"Write {base}."
    return None


def redis_url_fault(url: str) -> tuple[str, str] | None:
    """What is wrong with the URL of a Redis server and what to write instead, or None."""
    example = "Write it as in `redis://127.0.0.1:6379/0`, or with `rediss://` for TLS."
    what, parts = _split(url)
    if parts is None:
        return what, example
    host = parts.hostname
    if parts.scheme not in ("redis", "rediss") or not host:
        return "this is not the URL of a Redis server", example
    if parts.username is not None or parts.password is not None:
        return (
            "the URL has a user name or password in it",
            "Remove the part before `@`, and write `username: NAME` and `password: env:NAME`.",
        )
    if parts.port == 0:
        return "the URL has port 0", "Write the server's port."
    if parts.query or parts.fragment:
        return "the URL has a query (`?`) or fragment (`#`)", "Remove it."
    database = parts.path.strip("/")
    if database and not (database.isascii() and database.isdigit() and len(database) < 6):
        return "what follows the host is not the number of a database", example
    return None


def postgres_url_fault(url: str) -> tuple[str, str] | None:
    """What is wrong with the URL of a PostgreSQL server and what to write instead, or None."""
    example = "Write it as in `postgresql://db.example.net:5432/headrace`."
    what, parts = _split(url)
    if parts is None:
        return what, example
    if parts.scheme in ("env", "file"):
        return (
            "this names where a secret stands, and a URL is expected",
            f"For a whole URL that stands there write `url_secret:` with {quoted(url, 120)}.",
        )
    if parts.scheme not in ("postgresql", "postgres"):
        return "this is not the URL of a PostgreSQL server", example
    if parts.password is not None:
        return (
            "the URL has a password in it",
            "Remove it and write `password: env:NAME`, or put the whole URL where "
            "`url_secret: env:NAME` finds it.",
        )
    if parts.port == 0:
        return "the URL has port 0", "Write the server's port."
    return None


def is_plain_to_another_machine(url: str) -> bool:
    """True for a URL without TLS to a host that isn't this machine: anyone between can read."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "redis") and not is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
