"""What one worker opens to find again what clients go on with, responses and files, and the cache's
answers, where a server has them."""

from __future__ import annotations

from pathlib import Path

from headrace.config.storing import Store
from headrace.data.file_store import file_store
from headrace.data.response_store import response_store
from headrace.gateway.parts import Parts
from headrace.platform.secrets import Secret, Secrets


def open_stores(parts: Parts, folder: Path, store: Store, secrets: Secrets, now: float) -> None:
    """They connect when they are used. `now` is monotonic seconds. Raises Setup."""
    parts.responses = response_store(folder, store, secrets, now)
    parts.files = file_store(folder, store, secrets, now)


def share_answers(parts: Parts, url: Secret) -> None:
    """Kept answers, and what is found out of them, are to be in this PostgreSQL server."""
    from headrace.data.answer_table import AnswerTable
    from headrace.data.feedback_file import FeedbackTable
    from headrace.data.postgres import Postgres
    from headrace.gateway.cache.postgres_shelf import PostgresShelf

    parts.shelf = PostgresShelf(AnswerTable(Postgres(url)), AnswerTable(Postgres(url)))
    parts.feedback_rows = FeedbackTable(url)


async def close_stores(parts: Parts) -> None:
    for store in (parts.responses, parts.files):
        if store is not None:
            await store.close()
