"""Requests signed for AWS (Signature Version 4), by botocore's signer. No I/O but the clock.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html. Needs the extra `bedrock`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from headrace.errors import Setup

if TYPE_CHECKING:
    from botocore.auth import SigV4Auth

Sign = Callable[[str, bytes], list[tuple[bytes, bytes]]]
"""From the URL and body of a POST of JSON to the headers that it must bear."""


class AwsKey(Struct, frozen=True):
    """An access key. Not shown."""

    id: str
    secret: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "AwsKey(***)"


def signer(key: AwsKey, region: str, service: str = "bedrock") -> Sign:
    """Raises Setup if botocore is not installed."""
    try:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
    except ImportError:
        raise Setup(
            "A backend of Bedrock with an access key needs the package botocore.",
            "Install it with: pip install 'headrace[bedrock]'. With an API key of Bedrock "
            "(`credential`) it is not needed.",
        ) from None
    auth: SigV4Auth = SigV4Auth(Credentials(key.id, key.secret, key.session_token), service, region)

    def sign(url: str, body: bytes) -> list[tuple[bytes, bytes]]:
        request = AWSRequest("POST", url, {"Content-Type": "application/json"}, body)
        auth.add_auth(request)
        return [
            (name.encode(), str(value).encode())
            for name, value in request.headers.items()
            if name.lower() not in ("content-type", "host")
        ]

    return sign
