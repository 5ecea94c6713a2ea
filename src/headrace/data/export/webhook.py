"""Batches by POST, signed: whoever knows the secret can tell that they are Headrace's and recent.

The header `x-headrace-signature` is `t=SECONDS,v1=HEX`: HMAC-SHA-256 of the text `SECONDS.` and the
body, as Stripe signs its own (https://docs.stripe.com/webhooks#verify-manually).
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

from headrace.data.export.sink import Undelivered
from headrace.platform.secrets import Secret


class WebhookSink:
    """A redirect is a failure: what is signed for one address goes to no other."""

    def __init__(
        self, url: str, secret: Callable[[], Secret], batch: int, timeout_s: float
    ) -> None:
        """`secret` is asked at each batch, so that it may rotate."""
        self.batch = batch
        self._url = url
        self._secret = secret
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_NoRedirects())

    def send(self, rows: Sequence[bytes]) -> None:
        body = b'{"rows":[%b]}' % b",".join(rows)
        request = urllib.request.Request(  # noqa: S310 - the configuration allows http and https alone
            self._url,
            data=body,
            headers={
                "content-type": "application/json",
                "user-agent": "headrace",
                "x-headrace-signature": signature(
                    self._secret().reveal().encode(), int(time.time()), body
                ),
            },
            method="POST",
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                answer.read(65_536)
        except urllib.error.HTTPError as error:
            error.close()
            raise Undelivered(f"it answered {error.code}") from None
        except (OSError, http.client.HTTPException) as error:
            raise Undelivered(f"{type(error).__name__}: {error}") from None

    def close(self) -> None:
        """It keeps no connection."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def signature(secret: bytes, unix_s: int, body: bytes) -> str:
    """The header's value."""
    digest = hmac.new(secret, b"%d.%b" % (unix_s, body), hashlib.sha256).hexdigest()
    return f"t={unix_s},v1={digest}"
