"""Where the ledger is kept. The docstrings under the fields are the documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from headrace.config.references import SecretRef


class Store(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where Headrace keeps what must not be lost."""

    folder: str = ".headrace"
    """Folder of the journal, on a local disk, and of the ledger where no database is named. Made
    if it is not there."""
    url: str | None = None
    """A PostgreSQL server for the ledger, as `postgresql://HOST:PORT/DATABASE`; leave out to keep
    it in `folder`. User name and password stand below. Needs `pip install 'headrace[postgres]'`."""
    username: str | None = None
    """The user at PostgreSQL."""
    password: SecretRef | None = None
    """Where that user's password is: `env:NAME` or `file:PATH`."""
    url_secret: SecretRef | None = None
    """Where the whole URL is, with user name and password, in place of `url`: `env:NAME` or
    `file:PATH`."""
    drain_every_s: Annotated[float, Meta(ge=0.01, le=60)] = 0.25
    """How often the journal is brought into the ledger, and so to the disk: a loss of power takes
    what came within this time. While the ledger cannot take it, the journal itself is synced each
    second."""
    journal_limit_mib: Annotated[int, Meta(ge=64, le=1024 * 1024)] = 1024
    """How large the journal may grow while the ledger's database is away."""
    when_full: Literal["refuse", "go_on"] = "refuse"
    """What then happens to calls: they are refused with 503, or go on until the disk is full."""
    responses_keep_hours: Annotated[float, Meta(ge=0, le=8760)] = 24.0
    """For how long a response of the Responses API is kept, with all that was asked, for calls that
    go on with it by `previous_response_id`; what a client sends with `store: false` is not kept at
    all. 0 keeps nothing of anybody."""
    journal_keep_hours: Annotated[float, Meta(ge=0, le=8760)] = 1.0
    """For how long the journal's files are kept after all of them is in the ledger, for
    `headrace ledger verify`; but no more of them than `journal_limit_mib`."""
