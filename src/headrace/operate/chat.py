"""`headrace chat`: one question to a running gateway, streamed to the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from headrace.errors import Misused, Setup
from headrace.operate.own_key import stored_key
from headrace.platform.http.client import HttpTransport
from headrace.platform.http.messages import (
    Origin,
    Timeouts,
    TransportError,
    WireRequest,
    WireResponse,
    encode_head,
)
from headrace.platform.http.sse import EventSplitter

TIMEOUTS = Timeouts(connect_s=5.0, first_byte_s=120.0, idle_s=120.0)
LIMIT_BYTES = 16 * 1024 * 1024
_ERROR_NUMBER = re.compile(r"\[Errno -?\d+\] ")
"""Means nothing to people: the words stand behind it."""


def message(text: str | None, stdin: TextIO | None) -> str:
    """What is to be said: `text`, or all of `stdin` for `-`, and for nothing unless it is a
    terminal: who forgot the text would wait there. Raises Misused."""
    if text == "-" or (text is None and stdin is not None and not stdin.isatty()):
        data = b"" if stdin is None else stdin.buffer.read()
    else:
        # What was no UTF-8 on the command line stands there as surrogates.
        data = (text or "").encode(errors="surrogateescape")
    try:
        said = data.decode()
    except UnicodeDecodeError as error:
        raise Misused("The message is not text in UTF-8.", "Convert it, as by `iconv`.") from error
    if not said.strip():
        raise Misused(
            "There is nothing to say.",
            'Write it behind the command, as in `headrace chat "Hello"`, or pipe it in: '
            "`headrace chat < letter.txt`.",
        )
    return said


def run_chat(
    text: str, *, model: str | None, system: str | None, url: str, folder: Path, as_json: bool
) -> int:
    """Returns the exit code. `folder` is the store's. Raises Setup where gateway or key lack."""
    return asyncio.run(_chat(_Gateway(url, folder), text, model, system, as_json))


class _Model(Struct):
    id: str


class _Listing(Struct):
    data: list[_Model]


class _Fault(Struct):
    message: str


class _Refusal(Struct):
    error: _Fault


class _Delta(Struct):
    content: str | None = None


class _Choice(Struct):
    delta: _Delta | None = None


class _Event(Struct):
    choices: list[_Choice] = []
    error: Any = None


class _Gateway:
    """A running gateway, as this command sees it."""

    def __init__(self, url: str, folder: Path) -> None:
        try:
            self.origin = Origin.of(url)
        except ValueError as error:
            raise Misused(
                f"{url} is not a URL: {error}.", "Such as http://127.0.0.1:8080/v1"
            ) from error
        self.url = url
        self._path = urlsplit(url).path.rstrip("/")
        key = os.environ.get("HEADRACE_KEY")
        self.kept_key = key is None
        """It is the generated one, which opens nothing once others were made."""
        if key is None:
            stored = stored_key(folder)
            if stored is None:
                raise Setup(
                    "There is no key to call the gateway with.",
                    "Set HEADRACE_KEY, or run this where `headrace serve` was started, as the same "
                    "user.",
                )
            key = stored.reveal()
        self._key = key.strip().encode()
        if not self._key.isascii() or not self._key.decode().isprintable():
            raise Setup("HEADRACE_KEY holds what no key does.", "Copy the key anew.")

    def request(self, method: bytes, path: str, body: bytes) -> WireRequest:
        headers = [
            (b"Host", self.origin.authority.encode()),
            (b"Authorization", b"Bearer " + self._key),
            (b"Content-Type", b"application/json"),
        ]
        return WireRequest(
            self.origin, encode_head(method, (self._path + path).encode(), headers), body
        )


async def _chat(
    gateway: _Gateway, text: str, model: str | None, system: str | None, as_json: bool
) -> int:
    wire = HttpTransport()
    try:
        name = model or await _first_model(wire, gateway)
        messages = [{"role": "user", "content": text}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        body = msgspec.json.encode({"model": name, "messages": messages, "stream": not as_json})
        response = await wire.send(gateway.request(b"POST", "/chat/completions", body), TIMEOUTS)
        return await _print_answer(response, as_json)
    except TransportError as error:
        why = _ERROR_NUMBER.sub("", str(error))
        raise Setup(
            f"There is no gateway at {gateway.url} ({why}).",
            "Start one: `headrace serve`, or name yours with --url or HEADRACE_URL.",
        ) from error
    finally:
        await wire.close()


async def _first_model(wire: HttpTransport, gateway: _Gateway) -> str:
    response = await wire.send(gateway.request(b"GET", "/models", b""), TIMEOUTS)
    with contextlib.closing(response):
        body = await response.read(LIMIT_BYTES)
    if response.status == 401 and gateway.kept_key:
        raise Setup(
            "The gateway's generated key opens nothing any more, since others were made.",
            "Set HEADRACE_KEY to one of yours: `headrace keys list` names them.",
        )
    if response.status != 200:
        raise Setup(_message_of(body))
    try:
        names = [entry.id for entry in msgspec.json.decode(body, type=_Listing).data]
    except msgspec.MsgspecError:
        raise Setup(
            f"What answers at {gateway.url} is no gateway.",
            "Name yours with --url or HEADRACE_URL.",
        ) from None
    if not names:
        raise Setup("The gateway does not list its models.", "Name one: `--model NAME`.")
    return next((n for n in names if "embed" not in n and "minilm" not in n), names[0])


async def _print_answer(response: WireResponse, as_json: bool) -> int:
    try:
        with contextlib.closing(response):
            if response.status != 200:
                return _say_error(await response.read(LIMIT_BYTES), as_json)
            if as_json:
                print((await response.read(LIMIT_BYTES)).decode())
                return 0
            return await _print_stream(response)
    except TransportError as error:
        print(f"\nThe answer broke off ({error}).", file=sys.stderr)
        return 1


async def _print_stream(response: WireResponse) -> int:
    splitter = EventSplitter()
    while chunk := await response.next_chunk():
        for _, data in splitter.pairs(chunk):
            if data is None:
                continue
            if data == b"[DONE]":
                print()
                return 0
            said = msgspec.json.decode(data, type=_Event)
            if said.error is not None:
                print()
                print(_message_of(data), file=sys.stderr)
                return 1
            for choice in said.choices:
                print((choice.delta and choice.delta.content) or "", end="", flush=True)
    print("\nThe answer broke off.", file=sys.stderr)
    return 1


def _say_error(body: bytes, as_json: bool) -> int:
    if as_json:
        print(body.decode())
    else:
        print(_message_of(body), file=sys.stderr)
    return 1


def _message_of(answer: bytes) -> str:
    try:
        return msgspec.json.decode(answer, type=_Refusal).error.message
    except msgspec.MsgspecError:
        return "What answers there gave no reason. Is it a gateway?"
