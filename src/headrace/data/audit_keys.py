"""The key that signs the audit log's checkpoints: Ed25519, made at the first start.

`cryptography` is optional: without it checkpoints are not signed, and say so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from headrace.errors import Setup, install_extra

KEY_NAME = "audit-key.pem"
PUBLIC_NAME = "audit-key.pub"
EXTRA_HINT = install_extra("audit")


class Signer:
    """Signs with a key that never shows."""

    def __init__(self, sign: Callable[[bytes], bytes], public: bytes) -> None:
        self.sign = sign
        self.public = public
        """32 bytes."""

    def __repr__(self) -> str:
        return f"Signer({self.public.hex()})"


def can_sign() -> bool:
    """Whether the extra is installed."""
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError:
        return False
    return True


def own_signer(folder: Path) -> Signer | None:
    """The signer whose key is in `folder`, made if there is none; None without the extra.

    The key's file is its owner's alone; the public key lies beside it, to be kept elsewhere.
    Raises Setup for a key that cannot be read or kept.
    """
    if not can_sign():
        return None
    path = folder / KEY_NAME
    try:
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise Setup(
            f"The audit log's key {path} cannot be used: {error.strerror}.",
            "It must be a file that the gateway's user may read; the folder one it may write.",
        ) from error


def _make(path: Path) -> None:
    """Written aside and linked into place, so that of two processes that start at once one makes
    the key and both read the same whole file."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(descriptor)
    try:
        os.link(aside, path)
    except FileExistsError:
        return
    finally:
        aside.unlink()
    public = private.public_key().public_bytes_raw().hex()
    path.with_name(PUBLIC_NAME).write_text(public + "\n")


def _read(path: Path) -> Signer:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise Setup(
            f"{path} does not hold the audit log's key.",
            "Put the right file back, or move it away: a new key is then made, and checkpoints "
            "from then on are signed by that one.",
        )
    return Signer(private.sign, private.public_key().public_bytes_raw())


def signature_holds(public: str, signature: str, statement: bytes) -> bool:
    """Whether the key signed the statement. Raises Setup without the extra."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise Setup("Signatures cannot be checked here.", EXTRA_HINT) from None
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), statement)
    except (InvalidSignature, ValueError):
        return False
    return True
