"""Steps in C, where they can be had. Where there is no compiler nothing of them can be tested, and
nothing goes by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace.compiled.build import NotBuilt
from headrace.compiled.build import build as build_steps
from headrace.gateway.compiled_steps import compiled_steps

if TYPE_CHECKING:
    from headrace.compiled._steps import Steps


@pytest.fixture(scope="session")
def steps() -> Steps:
    found = compiled_steps({})
    if found is None:
        try:
            build_steps()
        except NotBuilt as why:
            pytest.skip(str(why))
        pytest.fail("they could be made and were not, or of other sources; now they are")
    return found
