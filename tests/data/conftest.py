"""The stores' twins, as real as they are in use."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.data.database import Database
from headrace.data.postgres import Postgres
from headrace.data.sqlite import Sqlite
from support.postgres_process import PostgresProcess, postgres_process

Databases = Callable[[], Database]
"""Each call gives another connection to the same empty database."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresProcess]:
    with postgres_process() as running:
        yield running


_names = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    made: list[Database] = []
    if request.param == "sqlite":

        def connect() -> Database:
            made.append(Sqlite(tmp_path / "ledger.sqlite"))
            return made[-1]

    else:
        url = request.getfixturevalue("postgres").new_database(f"test{next(_names)}")

        def connect() -> Database:
            made.append(Postgres(url))
            return made[-1]

    yield connect
    for database in made:
        database.close()
