"""What is remembered of a call that ended, until it is counted and told."""

from __future__ import annotations

from headrace.data.records import Settlement

Ended = tuple[Settlement, str, int]
"""The ledger's row, the id of its trace in hexadecimal ("" if it has none), and how many pieces of
content a stream had. Nothing of what was asked or answered."""

UPSTREAM = "upstream"
NOBODY = "nobody"
"""`answered_by` of calls that no cache, equal call, repeat or message answered."""
