"""An HTTP server in a thread that keeps what is posted to it, and answers as it is told."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Post(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Posted:
    """`url` has no path."""

    def __init__(self, answer: Callable[[Post], tuple[int, bytes]], content_type: str) -> None:
        self.posts: list[Post] = []
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                post = Post(self.path, {n.lower(): v for n, v in self.headers.items()}, body)
                posts.append(post)
                status, said = answer(post)
                self.send_response(status)
                self.send_header("content-type", content_type)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing on the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def posted(
    answer: Callable[[Post], tuple[int, bytes]] = lambda post: (200, b"{}"),
    content_type: str = "application/json",
) -> Iterator[Posted]:
    made = Posted(answer, content_type)
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()
