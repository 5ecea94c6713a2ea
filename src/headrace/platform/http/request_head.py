"""What a request's head must be like, beyond what llhttp sees to (RFC 9112, RFC 9110). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace.platform.http.limits import ServerLimits, Violation

CONTINUE_EXPECTED = b"100-continue"
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*\Z")
"""uri-host and port (RFC 9110, section 7.2)."""
_OFFER = re.compile(rb"\r\n(?i:upgrade):(?=[ \t]*(?i:h2c)[ \t]*(?:\r\n|\Z))")
_LOOKED_AT = frozenset((b"host", b"transfer-encoding", b"content-length", b"expect"))

Fault = tuple[Violation, str]


class UnfitHead(Exception):  # noqa: N818 - not always an error
    """`fault` says what the client is told."""

    def __init__(self, violation: Violation, what: str) -> None:
        super().__init__(what)
        self.fault: Fault = (violation, what)


def check(
    target: bytes, headers: Sequence[tuple[bytes, bytes]], version: str, limits: ServerLimits
) -> bool:
    """Whether the client waits for an interim answer before it sends the body. `headers` with their
    names in lower case. Raises UnfitHead."""
    hosts = lengths = 0
    expect: bytes | None = None
    head_bytes = len(target)
    for name, value in headers:
        head_bytes += len(name) + len(value) + 4
        if name not in _LOOKED_AT:
            continue
        if name == b"host":
            hosts += 1
            if not _HOST.match(value):
                raise UnfitHead(Violation.MALFORMED, "the Host header is not a host")
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or version != "1.1":
                raise UnfitHead(Violation.MALFORMED, "unknown Transfer-Encoding")
        elif name == b"content-length":
            lengths = int(value)
        else:
            expect = value
    if head_bytes > limits.header_bytes:
        raise UnfitHead(Violation.HEADERS_TOO_LARGE, head_limit_text(limits))
    if version not in ("1.1", "1.0") or hosts > 1 or (hosts == 0 and version == "1.1"):
        raise UnfitHead(Violation.MALFORMED, "one Host header is needed")
    if not target.startswith(b"/") and target != b"*":
        raise UnfitHead(Violation.MALFORMED, "the target must start with /")
    if lengths > limits.body_bytes:
        raise UnfitHead(Violation.BODY_TOO_LARGE, body_limit_text(limits))
    if expect is None:
        return False
    if expect.lower() != CONTINUE_EXPECTED:
        raise UnfitHead(Violation.EXPECTATION, "unknown Expect header")
    return version == "1.1"


def without_offer(data: bytes) -> bytes | None:
    """`data`, which begins with a head, with an offer of HTTP/2 in it renamed; None if there is
    none. Java's own client makes one with its first request. A server may ignore it (RFC 9110,
    section 7.8)."""
    head, end, rest = data.partition(b"\r\n\r\n")
    plain, offers = _OFFER.subn(b"\r\nx-ignored:", head)
    return plain + end + rest if offers else None


def head_limit_text(limits: ServerLimits) -> str:
    return f"the request line and headers are over {limits.header_bytes:,} bytes"


def body_limit_text(limits: ServerLimits) -> str:
    return f"the body is over {limits.body_bytes:,} bytes"


def plain(error: Exception) -> str:
    """What llhttp found, as the middle of a sentence."""
    text = str(error).strip().rstrip(".")
    return text[:1].lower() + text[1:] if text else "not HTTP"
