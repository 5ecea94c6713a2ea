"""Reading and changing the registry's records for an administrator: scope, conflicts, audit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from msgspec import MsgspecError

from headrace.data.audit import AuditSink
from headrace.data.audit_event import AuditEvent
from headrace.data.registry.records import Record, row_of
from headrace.data.registry.rows import Position, Row, Rows, Stale, Wanted
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Grant

PAGE_LIMIT = 500


class Desk:
    """Where all wishes end. All of it raises Denied(UNAVAILABLE) if the registry cannot be used."""

    def __init__(
        self,
        rows: Rows,
        audit: AuditSink,
        clock: Callable[[], float] = time.time,
        *,
        counts_apart: bool = False,
    ) -> None:
        """`counts_apart`: several workers count, and have nothing by which to count together."""
        self._rows = rows
        self._audit = audit
        self.clock = clock
        self.counts_apart = counts_apart

    def revision(self) -> int:
        with _available():
            return self._rows.revision()

    def find(self, wanted: Wanted, what: str) -> Row:
        """The one row. One of another tenant is not there. Raises Denied(NOT_FOUND)."""
        rows = self.page(wanted, None, 2)
        if not rows:
            raise Denied(Why.NOT_FOUND, f"There is no {what}.")
        return rows[0]

    def page(self, wanted: Wanted, after: Position | None, limit: int) -> list[Row]:
        with _available():
            return self._rows.page(wanted, after, limit)

    def all(self, wanted: Wanted) -> Iterator[Row]:
        """All rows, read by pages."""
        after: Position | None = None
        while rows := self.page(wanted, after, PAGE_LIMIT):
            yield from rows
            after = rows[-1].tenant, rows[-1].id

    def keep(
        self, by: Grant, action: str, record: Record, revision: int, changed: Sequence[str] = ()
    ) -> None:
        """Tells the audit log, then changes the registry. Raises Denied(CONFLICT)."""
        row = row_of(record, revision)
        detail = {"fields": ", ".join(changed)} if changed else {}
        self.tell(by, action, row.id, row.tenant or None, detail)
        try:
            with _available():
                self._rows.put([row])
        except Stale as error:
            self._failed(by, action, row)
            if revision:
                detail_text = "Someone else changed it at the same moment. Read it again and retry."
            else:
                detail_text = f"There is a {row.kind.replace('_', ' ')} {row.id!r} already."
            raise Denied(Why.CONFLICT, detail_text) from error
        except Denied:
            self._failed(by, action, row)
            raise

    def tell(
        self, by: Grant, action: str, target: str, tenant: str | None, detail: dict[str, str]
    ) -> None:
        """Tells the audit log of what is going to be done."""
        event = AuditEvent(
            action=action, actor=by.actor, target=target, ip=by.ip, tenant=tenant, detail=detail
        )
        with _available():
            self._audit.append(event)

    def _failed(self, by: Grant, action: str, row: Row) -> None:
        with _available():
            self._audit.append(
                AuditEvent(
                    action=action,
                    actor=by.actor,
                    target=row.id,
                    outcome="failed",
                    ip=by.ip,
                    tenant=row.tenant or None,
                )
            )


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Denied(
            Why.UNAVAILABLE,
            "The registry or the audit log cannot be used just now, so nothing was done. The log "
            "of the gateway says why.",
        ) from error
    except MsgspecError as error:
        raise Denied(Why.UNAVAILABLE, "What is kept there cannot be read.") from error
