"""The registry as the commands use it: with all rights, whether a gateway runs or not."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterable
from pathlib import Path

from headrace.config.loading import Loaded
from headrace.data.audit import AuditLog
from headrace.data.databases import database_url
from headrace.data.registry.opening import open_registry
from headrace.data.registry.records import UnitRecord
from headrace.errors import Setup
from headrace.gateway.administration.admin_keys import AdminKeys
from headrace.gateway.administration.desk import Desk
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Grant, Role
from headrace.gateway.administration.keys import Keys
from headrace.gateway.administration.units import Units
from headrace.gateway.written_units import written_units
from headrace.platform.secrets import Secret, Secrets


class Registry:
    """The registry for whoever may write the store's folder: with all rights."""

    def __init__(
        self,
        folder: Path,
        url: Secret | None = None,
        *,
        counts_apart: bool = False,
        written: Iterable[UnitRecord] = (),
    ) -> None:
        """`url` is of the server that the registry is on; without one it is in the folder.
        `written` are the tenants, teams and users of the configuration. Raises Setup."""
        self._rows = open_registry(folder, url)
        self._hint = (
            f"See that the folder {folder} can be written and its disk is not full."
            if url is None
            else "See that the database server is up, and that `store` names it rightly."
        )
        try:
            self._audit = AuditLog(folder)
        except OSError as error:
            raise Setup(
                f"The store's folder {folder} cannot be written: {error.strerror}.",
                "Run this as the user that runs the gateway, or name its file with --config.",
            ) from error
        desk = Desk(self._rows, self._audit, counts_apart=counts_apart)
        self.units = Units(desk, written)
        self.keys = Keys(desk, self.units)
        self.admin_keys = AdminKeys(desk)
        self.by = Grant(actor=f"local:{user_name()}", role=Role.ADMIN)

    @classmethod
    def of(cls, loaded: Loaded) -> Registry:
        """The one that the configuration names. Raises Setup."""
        return cls(
            loaded.store_folder,
            registry_url(loaded),
            counts_apart=alone(loaded),
            written=written_units(loaded.config).values(),
        )

    def revision(self) -> int:
        """Of the last change."""
        return self._rows.revision()

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        """A denial is told as any problem of a command."""
        self._rows.close()
        self._audit.close()
        if isinstance(fault, Denied):
            if fault.why is Why.UNAVAILABLE and isinstance(fault.__cause__, OSError):
                raise Setup(f"Nothing was done: {fault.__cause__}.", self._hint) from fault
            raise Setup(fault.detail) from fault


def registry_url(loaded: Loaded) -> Secret | None:
    """Of the server that holds it, None if it is a file. Raises Setup."""
    secrets = Secrets(os.environ, loaded.folder)
    return database_url(loaded.config.store, secrets, time.monotonic())


def alone(loaded: Loaded) -> bool:
    """Whether several workers count, and have nothing by which to count together."""
    return loaded.config.server.workers > 1 and loaded.config.redis is None


def user_name() -> str:
    """Of whoever runs this command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
