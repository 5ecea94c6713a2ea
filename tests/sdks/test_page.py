"""Runs with `make test`, without the SDKs."""

from __future__ import annotations

from clients.compatibility import parts
from sdks.compatibility import section


def test_the_page_is_of_these_versions() -> None:
    """If it is not: `HEADRACE_DOCS=1 make test-sdks`."""
    assert parts()[1] == section()
