"""What a route is. The table of them (`table.py`) makes the dispatch, the OpenAPI document and the
tests' matrix of authorisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from headrace.edge.metrics import MetricsPage
from headrace.gateway.administration.admin_keys import AdminKeys
from headrace.gateway.administration.desk import Desk
from headrace.gateway.administration.grants import Grant, Role
from headrace.gateway.administration.keys import Keys
from headrace.gateway.administration.units import Units
from headrace.platform.secrets import Secret


class Parts(Struct, frozen=True):
    """What routes act on."""

    desk: Desk
    keys: Keys
    units: Units
    admin_keys: AdminKeys
    folder: Path
    """The store's, where the workers' sockets are."""
    metrics: MetricsPage
    ledger_url: Secret | None
    """Of the server that the ledger is on; None if it is in the folder."""


class Ask(Struct, frozen=True):
    """One request, read and checked."""

    parts: Parts
    by: Grant
    path: Mapping[str, str]
    query: Any
    body: Any


class Route(Struct, frozen=True, kw_only=True):
    """`act` blocks; it raises Denied."""

    method: str
    path: str
    name: str
    summary: str
    role: Role | None
    """The least that is needed; None lets everybody in."""
    whole: bool = False
    """It concerns the whole gateway: keys for single tenants are refused."""
    act: Callable[[Ask], Any]
    query: type[Struct] | None = None
    body: type[Struct] | None = None
    answer: Any
    media: str = "application/json"
    """Of the answer; of any other `act` gives the text itself."""
    status: int = 200
    faults: tuple[int, ...] = ()
    """Statuses that its errors may have, besides those of all."""
