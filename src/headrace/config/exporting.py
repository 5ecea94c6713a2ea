"""Where settled calls are told of. The docstrings under the fields are the documentation."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headrace.config.references import SecretRef


class FileExport(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="file"
):
    """Lines of JSON in a file."""

    path: str
    """The file; a relative one starts at this file's folder. It is appended to, and opened anew
    when it was moved away."""


class WebhookExport(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="webhook"
):
    """Batches as JSON to a URL, by POST."""

    url: str
    """Where to. An answer from 200 to 299 says that the batch was taken."""
    secret: SecretRef
    """Where the secret is that batches are signed with: `env:NAME` or `file:PATH`."""
    batch: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Rows in one POST at most."""
    timeout_s: Annotated[float, Meta(gt=0, le=300)] = 10.0
    """An answer that takes longer is a failure."""


AnyExport = FileExport | WebhookExport
