"""AWS's event-stream framing: https://smithy.io/2.0/aws/amazon-eventstream.html"""

from __future__ import annotations

import struct
import zlib


def framed(name: bytes, data: bytes) -> bytes:
    """One message. A name that begins with `!` is an exception's."""
    kind, named = b"event", (b":event-type", name)
    if name.startswith(b"!"):
        kind, named = b"exception", (b":exception-type", name[1:])
    headers = b"".join(
        b"%c%b\x07%b%b" % (len(key), key, struct.pack(">H", len(value)), value)
        for key, value in (named, (b":content-type", b"application/json"), (b":message-type", kind))
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(data), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + data
    return message + struct.pack(">I", zlib.crc32(message))
