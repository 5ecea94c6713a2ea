"""Settled calls come to every export at least once and in order; both databases."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from data.conftest import Databases
from data.test_draining import drain_of, drained
from headrace.data.draining import chain_name
from headrace.data.export.exporting import Export, start
from headrace.data.export.file import FileSink
from headrace.data.export.sink import Undelivered
from headrace.data.export.webhook import WebhookSink
from headrace.data.journal import Journal
from headrace.platform.secrets import Secret
from support.ledger_records import Scribe

SECRET = b"whsec-0123456789abcdef"


class Receiver:
    """A webhook's other end: takes batches whose signature is right, and fails as it is told."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.answers: list[int] = []
        """Statuses of the next answers; 200 when there are none."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.answers.pop(0) if receiver.answers else 200
                if status == 200 and not _signed(self.headers["x-headrace-signature"], body):
                    status = 401
                if status == 200:
                    receiver.rows += json.loads(body)["rows"]
                self.send_response(status)
                if status == 302:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/rows"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _signed(header: str, body: bytes) -> bool:
    """As a receiver checks it who knows no more than the documentation says."""
    at, digest = (part.partition("=")[2] for part in header.split(","))
    wanted = hmac.new(SECRET, at.encode() + b"." + body, hashlib.sha256).hexdigest()
    return abs(int(at) - time.time()) < 300 and hmac.compare_digest(digest, wanted)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def webhook(url: str, batch: int = 7) -> WebhookSink:
    return WebhookSink(url, lambda: Secret(SECRET.decode()), batch, 5.0)


def filled(databases: Databases, folder: Path, calls: int = 20) -> Scribe:
    scribe = Scribe(Journal(folder))
    for n in range(calls):
        scribe.whole(f"call-{n:04}", input_tokens=n, tags=(("env", "prod"),))
    assert drained(drain_of(folder, databases())) == calls
    return scribe


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_gets_all_and_goes_on_where_it_was(databases: Databases, tmp_path: Path) -> None:
    store, path = tmp_path / "store", tmp_path / "out" / "rows.jsonl"
    scribe = filled(databases, store)

    def export() -> Export:
        return Export("f", FileSink(path), databases(), store, chain_name(store))

    assert export().turn() == 20
    first = lines(path)
    assert [row["call"] for row in first] == [f"call-{n:04}" for n in range(20)]
    assert first[3]["id"] == f"{scribe.journal.run}-7"
    assert (first[3]["tags"], first[3]["orphan"], first[3]["input_tokens"]) == (
        {"env": "prod"}, False, 3,
    )  # fmt: skip
    assert "hash" not in first[3]
    path.rename(path.with_suffix(".1"))
    scribe.whole("call-late")
    drained(drain_of(store, databases()))
    again = export()
    assert (again.turn(), again.turn()) == (1, 0)
    assert [row["call"] for row in lines(path)] == ["call-late"]


def test_a_line_that_was_cut_short_does_not_spoil_the_next(
    databases: Databases, tmp_path: Path
) -> None:
    filled(databases, tmp_path, 2)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id":"cut')
    Export("f", FileSink(path), databases(), tmp_path, chain_name(tmp_path)).turn()
    assert [row["call"] for row in map(json.loads, path.read_text().splitlines()[1:])] == [
        "call-0000",
        "call-0001",
    ]


def test_a_webhook_gets_signed_batches_and_again_what_it_did_not_take(
    databases: Databases, tmp_path: Path, receiver: Receiver
) -> None:
    filled(databases, tmp_path)
    export = Export("w", webhook(receiver.url), databases(), tmp_path, chain_name(tmp_path))
    receiver.answers = [500, 302, 200, 429]
    for status in (500, 302):
        with pytest.raises(Undelivered, match=str(status)):
            export.turn()
    assert export.turn() == 7
    with pytest.raises(Undelivered, match="429"):
        export.turn()
    assert [export.turn(), export.turn(), export.turn()] == [7, 6, 0]
    assert [row["call"] for row in receiver.rows] == [f"call-{n:04}" for n in range(20)]
    assert len({row["id"] for row in receiver.rows}) == 20


def test_what_may_have_been_taken_is_sent_again_with_the_same_ids(
    databases: Databases, tmp_path: Path, receiver: Receiver
) -> None:
    """A kill between the answer and the note of it."""
    filled(databases, tmp_path)
    name = chain_name(tmp_path)
    Export("w", webhook(receiver.url, 100), databases(), tmp_path, name).turn()
    (tmp_path / "export-w.cursor").unlink()
    Export("w", webhook(receiver.url, 100), databases(), tmp_path, name).turn()
    ids = [row["id"] for row in receiver.rows]
    assert len(ids) == 40
    assert ids[:20] == ids[20:]


def test_a_broken_export_holds_up_nobody(
    databases: Databases, tmp_path: Path, receiver: Receiver
) -> None:
    """One that nobody answers, beside two that are answered, while rows go on being stored."""
    scribe = filled(databases, tmp_path)
    name, stop = chain_name(tmp_path), threading.Event()
    path = tmp_path / "rows.jsonl"
    start(
        [
            Export("dead", webhook("http://127.0.0.1:1/"), databases(), tmp_path, name),
            Export("file", FileSink(path), databases(), tmp_path, name),
            Export("hook", webhook(receiver.url), databases(), tmp_path, name),
        ],
        stop,
        0.01,
    )
    scribe.whole("call-late")
    assert drained(drain_of(tmp_path, databases())) == 1
    until = time.monotonic() + 30
    while len(receiver.rows) < 21 or not path.exists() or len(lines(path)) < 21:
        assert time.monotonic() < until
        time.sleep(0.01)
    stop.set()
    for thread in threading.enumerate():
        if thread.name.startswith("export "):
            thread.join(30)
    assert [row["call"] for row in receiver.rows][-1] == "call-late"
    assert not (tmp_path / "export-dead.cursor").exists()
