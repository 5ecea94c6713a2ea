"""What both kinds of database say alike."""

from __future__ import annotations

import pytest

from data.conftest import Databases
from headrace.data.database import DatabaseAway, NotMade


def test_tables_that_nobody_made_yet_are_told_from_a_database_that_is_away(
    databases: Databases,
) -> None:
    with databases().transaction() as transaction:
        transaction.run("CREATE TABLE there (name TEXT)")
    database = databases()
    with pytest.raises(NotMade):
        database.read("SELECT name FROM elsewhere")
    with pytest.raises(DatabaseAway) as away:
        database.read("SELECT nothing FROM there")
    assert not isinstance(away.value, NotMade)
    assert database.read("SELECT name FROM there") == []
