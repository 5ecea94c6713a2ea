"""Which database the configuration names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from headrace.config.storing import Store
from headrace.data.database import Database
from headrace.platform.secrets import Secret, Secrets

FILE_NAME = "ledger.sqlite"


def database_url(store: Store, secrets: Secrets, now: float) -> Secret | None:
    """The whole URL of the server, with what opens it; None if it is a file in the folder. `now`
    is monotonic seconds. Raises Setup if a secret cannot be read."""
    if store.url_secret is not None:
        return secrets.get(store.url_secret, now)
    if store.url is None:
        return None
    parts = urlsplit(store.url)
    user = store.username or parts.username
    if user is None:
        return Secret(store.url)
    login = quote(user, safe="")
    if store.password is not None:
        login += ":" + quote(secrets.get(store.password, now).reveal(), safe="")
    place = parts.netloc.rpartition("@")[2]
    return Secret(urlunsplit(parts._replace(netloc=f"{login}@{place}")))


def database(
    folder: Path, url: Secret | None, *, file_name: str = FILE_NAME, read_only: bool = False
) -> Database:
    """The server at `url`, or the file in the folder. Raises Setup if what it needs is not
    installed."""
    if url is not None:
        from headrace.data.postgres import Postgres

        return Postgres(url)
    from headrace.data.sqlite import Sqlite

    return Sqlite(folder / file_name, read_only=read_only)
