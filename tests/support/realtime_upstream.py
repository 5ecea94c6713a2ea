"""A scripted provider of realtime sessions, in a thread of its own: OpenAI's events over a real
WebSocket.

https://platform.openai.com/docs/api-reference/realtime-server-events. What a user's text says is
done: `close 4001`, `vanish`, `hang`, `large 100000`, `fragments`, `used 30` (tokens of the answer);
any other text is answered with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

USAGE = {
    "total_tokens": 130,
    "input_tokens": 100,
    "output_tokens": 30,
    "input_token_details": {
        "cached_tokens": 20,
        "text_tokens": 40,
        "audio_tokens": 60,
        "cached_tokens_details": {"text_tokens": 10, "audio_tokens": 10},
    },
    "output_token_details": {"text_tokens": 5, "audio_tokens": 25},
}


class RealtimeUpstream:
    """`handshakes` are the requests that came, `sessions` how each that was opened ended: the code
    that the other end closed with."""

    def __init__(self) -> None:
        self.url = ""
        self.handshakes: list[tuple[str, dict[str, str]]] = []
        self.sessions: list[int | None] = []
        self.refuse: list[int] = []
        """Statuses that answer the next handshakes."""
        self.open_sessions = 0

    async def _checked(self, connection: ServerConnection, request: Request) -> Response | None:
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        self.handshakes.append((request.path, headers))
        if not self.refuse:
            return None
        status = HTTPStatus(self.refuse.pop(0))
        body = json.dumps({"error": {"message": "CANARY no room", "type": "server_error"}})
        response = connection.respond(status, body)
        response.headers["Retry-After"] = "1"
        return response

    async def _serve(self, socket: ServerConnection) -> None:
        self.open_sessions += 1
        session = {"type": "realtime", "object": "realtime.session", "id": "sess_1"}
        try:
            await _say(socket, {"type": "session.created", "session": session})
            text = ""
            async for message in socket:
                event = json.loads(message)
                if event["type"] == "session.update":
                    await _say(socket, {"type": "session.updated", "session": event["session"]})
                elif event["type"] == "conversation.item.create":
                    text = event["item"]["content"][0]["text"]
                    added = {"type": "conversation.item.added", "item": event["item"]}
                    await _say(socket, added)
                elif event["type"] == "response.create":
                    await _respond(socket, text)
        except ConnectionClosed:
            pass
        finally:
            with contextlib.suppress(Exception):
                await socket.wait_closed()
            self.sessions.append(socket.close_code)
            self.open_sessions -= 1


async def _respond(socket: ServerConnection, text: str) -> None:
    what, _, much = text.partition(" ")
    if what == "close":
        await socket.close(int(much), "CANARY words of the provider")
        return
    response: dict[str, Any] = {"object": "realtime.response", "id": "resp_1", "output": []}
    await _say(
        socket, {"type": "response.created", "response": {**response, "status": "in_progress"}}
    )
    if what == "vanish":
        socket.transport.abort()
        return
    if what == "hang":
        await socket.wait_closed()
        return
    said = "x" * int(much) if what == "large" else text
    delta = {
        "type": "response.output_text.delta",
        "response_id": "resp_1",
        "item_id": "i",
        "output_index": 0,
        "content_index": 0,
        "delta": said,
    }
    if what == "fragments":
        whole = json.dumps({"event_id": "e", **delta})
        await socket.ping()
        await socket.send([whole[:10], whole[10:20], whole[20:]])
    else:
        await _say(socket, delta)
    if what == "heard":
        await _say(
            socket,
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": "i",
                "content_index": 0,
                "transcript": "Hello",
                "usage": {"type": "duration", "seconds": 2},
            },
        )
    usage = {**USAGE, "output_tokens": int(much)} if what == "used" else USAGE
    done = {**response, "status": "completed", "usage": usage}
    await _say(socket, {"type": "response.done", "response": done})


async def _say(socket: ServerConnection, event: dict[str, Any]) -> None:
    await socket.send(json.dumps({"event_id": "event_1", **event}))


@contextmanager
def realtime_upstream() -> Iterator[RealtimeUpstream]:
    upstream = RealtimeUpstream()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="realtime upstream", daemon=True)
    thread.start()

    async def start() -> Any:
        return await serve(
            upstream._serve,
            "127.0.0.1",
            0,
            process_request=upstream._checked,
            max_size=64 * 1024 * 1024,
            compression=None,
            close_timeout=2,
        )

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def stop() -> None:
        server.close()
        await server.wait_closed()

    try:
        yield upstream
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
