"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A machine that stands still for a moment is no fault of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

NOBODY = Path(__file__).parent / "support" / "nobody.pem"
_AUTHORITIES = os.environ.get("SSL_CERT_FILE")


@pytest.fixture(scope="session", autouse=True)
def no_public_authorities() -> Iterator[None]:
    """Each client of HTTP that a test makes would read all authorities of the world, for longer
    than most tests take. What tests speak to is here, and vouched for by their own, if at all."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(NOBODY))
        yield


@pytest.fixture
def public_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what does speak to the world: as it was."""
    if _AUTHORITIES is None:
        monkeypatch.delenv("SSL_CERT_FILE")
    else:
        monkeypatch.setenv("SSL_CERT_FILE", _AUTHORITIES)
