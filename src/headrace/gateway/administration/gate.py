"""Who administers: an admin key proves a grant."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from msgspec import MsgspecError, Struct
from msgspec.structs import replace

from headrace.config.terms import networks_of
from headrace.data.audit import AuditSink
from headrace.data.audit_refusals import Refusals
from headrace.data.registry.key_text import ADMIN, digest, is_mistyped
from headrace.data.registry.records import AdminKeyRecord, admin_key_of
from headrace.data.registry.rows import Rows, Wanted
from headrace.gateway.administration.admin_keys import grant_of
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Grant, Role
from headrace.gateway.callers import is_from
from headrace.platform.secrets import Secret

PAGE = 500
KNOWN_FOR_S = 86_400.0
"""So long keys may see what there is, while the registry cannot be read."""
ASKED_AGAIN_S = 2.0
"""After the registry could not be read: a server that is silent takes seconds to fail."""
CONFIGURED = "config:admin"
LEAST_LENGTH = 32
LEAST_LETTERS = 12
_WEAK_WORDS = ("password", "passwort", "changeme", "secret", "admin", "headrace", "example",
               "0123456789", "123456789", "12345678", "abcdefgh", "qwertz", "qwerty")  # fmt: skip


def weakness(text: str) -> str | None:
    """Why an administrator's own key is too easy to guess, None if it is not."""
    if len(text) < LEAST_LENGTH:
        return f"it is shorter than {LEAST_LENGTH} characters"
    if len(set(text)) < LEAST_LETTERS:
        return f"it has fewer than {LEAST_LETTERS} different characters"
    if text in (text + text)[1:-1]:
        return "it repeats itself"
    rest = text.lower()
    for word in _WEAK_WORDS:
        rest = rest.replace(word, "")
    return None if len(rest) >= LEAST_LENGTH * 3 // 4 else "it is made of words that many use"


class _Proved(Struct, frozen=True):
    record: AdminKeyRecord
    until_unix_s: float | None


class Gate:
    """Looks keys up by digest; reads them anew when the registry has changed.

    While the registry cannot be read, a key that was good when it last could may see and not
    change: whoever watches the gateway sees that its database is away.
    """

    def __init__(
        self,
        rows: Rows,
        audit: AuditSink,
        configured: Secret | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`configured` is the key that the configuration names."""
        self._rows = rows
        self._audit = audit
        self._own = None if configured is None else digest(configured.reveal().encode())
        self._clock = clock
        self._lock = threading.Lock()
        self._revision = -1
        self._read_unix_s = 0.0
        self._away_until_unix_s = 0.0
        self._known: dict[bytes, _Proved] = {}
        self._refusals = Refusals()

    def identify(self, credential: str | None, ip: str) -> Grant:
        """Raises Denied(UNAUTHENTICATED, UNAVAILABLE). A refusal is told to the audit log."""
        try:
            return self._identify(credential, ip)
        except Denied as denied:
            if denied.why is Why.UNAUTHENTICATED:
                self.tell_refused(ip, denied.detail)
            raise

    def _identify(self, credential: str | None, ip: str) -> Grant:
        if credential is None:
            raise _refused("Send your admin key as `Authorization: Bearer hra_...`.")
        data = credential.encode("utf-8", "surrogatepass")
        wanted = digest(data)
        if self._own is not None and wanted == self._own:  # digests: nobody can come near one
            return Grant(actor=CONFIGURED, role=Role.ADMIN, ip=ip)
        away = self._brought_up_to_date()
        proved = self._known.get(wanted)
        if proved is None:
            if away is not None:
                raise away
            if credential.startswith("hr_"):
                raise _refused("This is a key for calls. Administration needs one of `hra_...`.")
            if is_mistyped(data, ADMIN):
                raise _refused("This admin key is not as it was given out: copy it whole.")
            raise _refused("This admin key is not known here, or was revoked.")
        record = proved.record
        if proved.until_unix_s is not None and self._clock() >= proved.until_unix_s:
            raise _refused("This admin key has expired.")
        if record.ip_ranges is not None and not is_from(ip, networks_of(record.ip_ranges)):
            raise _refused("This admin key may not be used from your address.")
        grant = grant_of(record, ip)
        if away is None:
            return grant
        return replace(grant, role=Role.VIEWER, withheld=_SEES_ALONE)

    def _brought_up_to_date(self) -> Denied | None:
        """What to tell where only what was known before can be gone by; None if all is known.
        Raises Denied if nothing is, or for too long."""
        now = self._clock()
        with self._lock:
            known = self._revision >= 0 and now - self._read_unix_s < KNOWN_FOR_S
            if known and now < self._away_until_unix_s:
                return _unreadable()
            try:
                revision = self._rows.revision()
                if revision != self._revision:
                    self._known = self._read()
                    self._revision = revision
            except (OSError, MsgspecError) as error:
                denied = _unreadable()
                denied.__cause__ = error
                if not known or isinstance(error, MsgspecError):
                    raise denied from error
                self._away_until_unix_s = now + ASKED_AGAIN_S
                return denied
            self._read_unix_s = now
            return None

    def _read(self) -> dict[bytes, _Proved]:
        known: dict[bytes, _Proved] = {}
        after = None
        while rows := self._rows.page(Wanted("admin_key"), after, PAGE):
            for record in map(admin_key_of, rows):
                if record.revoked_unix_s is not None:
                    continue
                for version in record.versions:
                    ends = (record.expires_unix_s, version.until_unix_s)
                    until = min((end for end in ends if end is not None), default=None)
                    known[version.digest] = _Proved(record, until)
            after = rows[-1].tenant, rows[-1].id
        return known

    def settle(self) -> None:
        """Tells of refusals that were put together. To be called now and then."""
        with self._lock:
            due = self._refusals.due(time.monotonic())
        for event in due:
            self._audit.append(event)

    def tell_refused(self, ip: str, detail: str) -> None:
        """Raises Denied(UNAVAILABLE) if the audit log cannot be written."""
        with self._lock:
            event = self._refusals.note(ip, f"admin API: {detail}", time.monotonic())
        try:
            if event is not None:
                self._audit.append(event)
        except OSError as error:
            raise Denied(Why.UNAVAILABLE, "The audit log cannot be written just now.") from error


_SEES_ALONE = (
    "The registry cannot be read just now. Until it can, keys may see what there is and change "
    "nothing."
)


def _unreadable() -> Denied:
    return Denied(Why.UNAVAILABLE, "The registry cannot be read just now. The log says why.")


def _refused(detail: str) -> Denied:
    return Denied(Why.UNAUTHENTICATED, detail)
