"""What a command does to a gateway that runs, told to the audit log before it is done."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from headrace.config.loading import Loaded
from headrace.data.audit import AuditLog
from headrace.data.audit_event import AuditEvent
from headrace.errors import Setup
from headrace.operate.registry import user_name


def tell(loaded: Loaded, action: str, target: str, detail: Mapping[str, str]) -> None:
    """By the user that runs the command. Raises Setup: what cannot be told must not be done."""
    folder = loaded.store_folder
    event = AuditEvent(
        action=action, actor=f"local:{user_name()}", target=target, detail=dict(detail)
    )
    try:
        with closing(AuditLog(folder)) as log:
            log.append(event)
    except OSError as error:
        raise Setup(
            f"The audit log in {folder} cannot be written ({error.strerror}), so nothing was done.",
            "Run this as the user that runs the gateway.",
        ) from error
