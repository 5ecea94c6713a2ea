"""A server's own certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

from headrace.errors import Setup


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises Setup that names the file which cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for file in (certificate, key):
        try:
            file.open("rb").close()
        except OSError as error:
            raise Setup(
                f"The file {str(file)!r} of server.tls cannot be read: {error.strerror}.",
                "Give PEM files: the certificate chain, and its private key without a passphrase.",
            ) from error
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise Setup(
            f"The certificate or key of server.tls cannot be used: {error}.",
            "Give PEM files: the certificate chain, and its private key without a passphrase.",
        ) from error
    return context
