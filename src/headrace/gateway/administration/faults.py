"""Why an administrator's wish was not carried out."""

from __future__ import annotations

import enum


class Why(enum.Enum):
    """The value is the public `code` of the error."""

    UNAUTHENTICATED = "invalid_admin_key"
    FORBIDDEN = "not_permitted"
    NOT_FOUND = "not_found"
    INVALID = "invalid_request"
    CONFLICT = "conflict"
    UNAVAILABLE = "store_unavailable"


class Denied(Exception):  # noqa: N818 - reads as what happened
    """`detail` is a friendly sentence that says what to do; `param` names the field at fault."""

    def __init__(self, why: Why, detail: str, *, param: str | None = None) -> None:
        super().__init__(detail)
        self.why = why
        self.detail = detail
        self.param = param
