"""How the audit log is bound together: a hash chain, a Merkle tree over it, checkpoints. Pure.

The chain is h(i) = SHA-256(h(i-1) || event(i)), with 32 zero bytes before the first. The tree is
RFC 9162's (section 2.1): its proof for one event among n holds log2(n) hashes, where the chain's
would hold all that followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec
from msgspec import UNSET, Struct, UnsetType

ZERO = bytes(32)


def chained(head: bytes, event: bytes) -> bytes:
    """The chain's next hash."""
    return sha256(head + event).digest()


def leaf(event: bytes) -> bytes:
    return sha256(b"\x00" + event).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the log's file. `event` is hashed as the bytes that stand there."""

    hash: str
    """Hexadecimal: the chain's up to and with this event."""
    event: msgspec.Raw
    said: dict[str, tuple[str, str]] | UnsetType = UNSET
    """What the event commits to, as far as it was not erased: salt and text by field."""


decode_line = msgspec.json.Decoder(Line).decode


def encode_line(head: bytes, event: bytes, said: bytes | None = None) -> bytes:
    """`said` is JSON of what the event commits to, if it does."""
    if said is None:
        return b'{"hash":"%b","event":%b}\n' % (head.hex().encode(), event)
    return b'{"hash":"%b","event":%b,"said":%b}\n' % (head.hex().encode(), event, said)


class Frontier:
    """The roots of the perfect trees that `count` leaves make, largest first: all that is needed
    to add leaves and to tell the root."""

    def __init__(self, count: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.count = count
        self.peaks = list(peaks)

    def add(self, leaf_hash: bytes) -> None:
        self.count += 1
        self.peaks.append(leaf_hash)
        left = self.count
        while left & 1 == 0:
            right = self.peaks.pop()
            self.peaks[-1] = node(self.peaks[-1], right)
            left >>= 1

    def root(self) -> bytes:
        """Of no leaves: SHA-256 of nothing."""
        if not self.peaks:
            return sha256().digest()
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node(peak, root)
        return root


def path_ranges(index: int, count: int) -> list[tuple[int, int]]:
    """Which ranges of leaves [from, to) make the hashes that prove leaf `index` among `count`,
    nearest first."""
    ranges: list[tuple[int, int]] = []
    start, end = 0, count
    while end - start > 1:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if index < split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start = split
    return ranges[::-1]


def root_by_path(leaf_hash: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that the path leads to, None if it has the wrong length."""
    ranges = path_ranges(index, count)
    if len(ranges) != len(path):
        return None
    root = leaf_hash
    for (start, _), other in zip(ranges, path, strict=True):
        root = node(root, other) if start > index else node(other, root)
    return root


class Statement(Struct, frozen=True, forbid_unknown_fields=True):
    """What a checkpoint says, and what is signed: its JSON in this order of members."""

    size: int
    """Events from the first on that it vouches for."""
    head: str
    """The chain's hash after them, hexadecimal."""
    root: str
    """The tree's root over them, hexadecimal."""
    at: float
    """Unix seconds."""
    before: str
    """SHA-256 of the previous checkpoint's statement, zeros for the first."""
    key: str | None
    """The Ed25519 public key of the signature, hexadecimal; None if it is not signed."""

    def encoded(self) -> bytes:
        return msgspec.json.encode(self)

    def digest(self) -> str:
        return sha256(self.encoded()).hexdigest()


class Checkpoint(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the checkpoints' file."""

    statement: Statement
    signature: str | None = None
    """Hexadecimal."""
    peaks: tuple[str, ...] = ()
    """The frontier, to begin at; checked against the root, so it need not be signed."""
    end: int = 0
    """Where the log's file ended, in bytes: a hint for reading."""
    segment: int = 0
    """The number of the first event of that file, which may have been rotated since."""

    def frontier(self) -> Frontier | None:
        """None if the peaks do not fit the root."""
        frontier = Frontier(self.statement.size, [bytes.fromhex(p) for p in self.peaks])
        fits = len(self.peaks) == self.statement.size.bit_count()
        return frontier if fits and frontier.root().hex() == self.statement.root else None


decode_checkpoint = msgspec.json.Decoder(Checkpoint).decode
encode_checkpoint = msgspec.json.Encoder().encode
