"""References to secrets become `Secret`s: text that shows only where `reveal()` is written."""

from __future__ import annotations

import hmac
import json
import os
import stat
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from headrace.config.masking import MASK, looks_secret, without_shapes
from headrace.errors import Setup

REREAD_S = 60.0
"""A secret file is read again after this long."""

_SIZE_LIMIT = 64 * 1024
_SHORTEST_MASKED = 6
_EXAMPLE = "Write `env:NAME` for an environment variable or `file:PATH` for a file."


class Secret:
    """A credential's text. It shows as `***` everywhere except through `reveal()`.

    Compares in constant time. Can't be pickled, copied or encoded as JSON, so that it does not
    leave the process by accident.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def matches(self, text: str) -> bool:
        """Whether `text` is this secret, in time that does not depend on where they differ."""
        return hmac.compare_digest(self._text.encode(), text.encode("utf-8", "surrogatepass"))

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return self.matches(other._text) if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __bool__(self) -> bool:
        return True

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret can't be pickled or copied")


def resolve(reference: str, environ: Mapping[str, str], folder: Path) -> Secret:
    """The secret that `env:NAME` or `file:PATH` refers to.

    Paths are relative to `folder`, the config file's. Surrounding line ends are stripped. Raises
    `Setup` that says what to do.
    """
    kind, _, rest = reference.partition(":")
    if kind == "env" and rest:
        return _from_environ(rest, environ)
    if kind == "file" and rest:
        return _from_file(secret_path(rest, folder))
    raise Setup("This is not a reference to a secret.", _EXAMPLE)


def secret_path(path: str, folder: Path) -> Path:
    return folder / Path(path).expanduser()


def open_to_others(reference: str, folder: Path) -> str | None:
    """A warning if every user of the machine may read the file of `reference`, else None."""
    kind, _, rest = reference.partition(":")
    if kind != "file":
        return None
    path = secret_path(rest, folder)
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if not mode & stat.S_IROTH:
        return None
    return f"Every user of this machine may read {path}. Run `chmod 600 {path}`."


def _from_environ(name: str, environ: Mapping[str, str]) -> Secret:
    shown = MASK if looks_secret(name) and name.upper() != name else name
    if name not in environ:
        raise Setup(
            f"The environment variable {shown} is not set.",
            f"Set it before you start Headrace: `export {shown}=...`.",
        )
    return _checked(environ[name], f"The environment variable {shown}")


def _from_file(path: Path) -> Secret:
    try:
        # A named pipe without a writer would otherwise block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Setup(f"{path} is not a file.", "Name a file that holds the secret alone.")
            data = file.read(_SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise Setup(
            f"There is no secret file {path}.",
            "Create it, or correct the path: it is relative to the config file's folder.",
        ) from None
    except IsADirectoryError:
        raise Setup(f"{path} is a folder.", "Name a file that holds the secret alone.") from None
    except PermissionError:
        raise Setup(
            f"This user may not read the secret file {path}.",
            "Change its owner, or its mode as in `chmod u+r`.",
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its name is not a path"
        raise Setup(f"The secret file {path} can't be read: {why}.", "Check the path.") from None
    if len(data) > _SIZE_LIMIT:
        raise Setup(f"The secret file {path} is larger than 64 KiB.", "Is this the right file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Setup(
            f"The secret file {path} is not UTF-8 text.", "Write the secret alone into it."
        ) from None
    return _checked(text, f"The secret file {path}")


def _checked(text: str, where: str) -> Secret:
    text = text.strip("\r\n")
    if not text.strip():
        raise Setup(f"{where} is empty.", "Put the secret's text there.")
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise Setup(
            f"{where} holds several lines or a control character.",
            "A secret is sent in a header: put it on one line, alone.",
        )
    if text != text.strip():
        raise Setup(f"{where} starts or ends with a space.", "Remove the space.")
    if not text.isascii():
        raise Setup(
            f"{where} holds a character that a header can't carry.",
            "Use letters, digits and signs of ASCII only.",
        )
    return Secret(text)


class Secrets:
    """Resolves references and remembers the answers. Safe to use from several threads.

    A file is read again when `REREAD_S` have passed, so that a rotated secret is taken up; while
    it can't be read, the last good text is used. `now` is monotonic seconds.
    """

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self._environ = environ
        self._folder = folder
        self._known: dict[str, tuple[Secret, float]] = {}
        self._lock = threading.Lock()

    def get(self, reference: str, now: float) -> Secret:
        """Raises `Setup` if the reference can't be resolved and never could be."""
        known = self._known.get(reference)
        if known is not None:
            secret, read_at = known
            if not reference.startswith("file:") or now - read_at < REREAD_S:
                return secret
        with self._lock:
            try:
                secret = resolve(reference, self._environ, self._folder)
            except Setup:
                if known is None:
                    raise
                secret = known[0]
            self._known[reference] = (secret, now)
        return secret

    def check(self, references: Iterable[str], now: float) -> None:
        """Resolves all of them; raises one `Setup` that names every one that fails."""
        failures: list[Setup] = []
        for reference in dict.fromkeys(references):
            try:
                self.get(reference, now)
            except Setup as failure:
                failures.append(failure)
        if failures:
            raise Setup("\n".join(dict.fromkeys(str(failure) for failure in failures)))

    def reload(self) -> None:
        """Everything is read anew when it is asked for next. Raises nothing."""
        with self._lock:
            self._known = {ref: (secret, float("-inf")) for ref, (secret, _) in self._known.items()}

    def references(self) -> list[str]:
        """Those that were resolved so far."""
        return list(self._known)

    def known(self) -> tuple[Secret, ...]:
        return tuple(secret for secret, _ in self._known.values())


class Scrubber:
    """Takes known secrets, and text that looks like one, out of what is logged.

    Text without any costs a search for each known secret and each word that starts a shape.
    """

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        values = {secret.reveal() for secret in secrets}
        # A very short value would mask ordinary words; keys are required to be longer anyway.
        # The longest first, so that a secret within another leaves no rest.
        kept = {
            form for value in values if len(value) >= _SHORTEST_MASKED for form in _forms(value)
        }
        self._known = tuple(sorted(kept, key=len, reverse=True))

    def scrub(self, text: str) -> str:
        for value in self._known:
            if value in text:
                text = text.replace(value, MASK)
        return without_shapes(text)

    def __repr__(self) -> str:
        return "Scrubber()"


def _forms(value: str) -> set[str]:
    """How others write a text down: in JSON, as Python shows it, in a URL."""
    return {value, json.dumps(value)[1:-1], repr(value)[1:-1], quote(value), quote(value, safe="")}


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """One text without secrets. For many texts make a `Scrubber` once."""
    return Scrubber(secrets).scrub(text)
