"""The parent's side of a local model: starts its worker process, watches it, starts it again."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping

from msgspec import Struct

from headrace.config.backends import LocalBackend
from headrace.errors import Setup
from headrace.platform import child_process
from headrace.platform.http.messages import Origin
from headrace.services.local.catalogue import LocalModel, resolve
from headrace.services.local.protocol import (
    Failed,
    Loading,
    Ready,
    WorkerOrder,
    decode_event,
    encode_line,
)

log = logging.getLogger(__name__)

OnProgress = Callable[[str, float], None]
"""Model and fraction from 0 to 1."""

_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 30.0
_STEADY_S = 60.0
"""A worker that ran this long starts again at the first backoff."""
_STOP_S = 5.0
_KEPT_LINES = 20


class Endpoint(Struct, frozen=True):
    """Where a local model answers and the key it wants as `Authorization: Bearer KEY`. Stable over
    restarts of its worker, and serialisable, so that other processes may be told it once."""

    model: str
    origin: Origin
    key: str

    def __repr__(self) -> str:
        return f"Endpoint({self.model}, {self.origin.authority})"


class ModelProcess:
    """One local model in a worker process of its own."""

    def __init__(
        self, model: LocalModel, settings: LocalBackend, *, name: str | None = None
    ) -> None:
        """`name` is what answers show as their `model`; by default the model's own."""
        self.name = name or model.name
        self._model = model
        self._settings = settings
        self._reserved: socket.socket | None = None
        self._endpoint: Endpoint | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._ready = False
        self._last_words: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)

    @property
    def pid(self) -> int | None:
        """Of the worker, None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def ready(self) -> bool:
        """Whether the worker has loaded its model and runs."""
        return self._ready

    @property
    def endpoint(self) -> Endpoint:
        """The address, known from `start` on; while `ready` is false, connecting is refused."""
        if self._endpoint is None:
            raise RuntimeError("the model process has not been started")
        return self._endpoint

    async def start(self, on_progress: OnProgress | None = None) -> Endpoint:
        """Resolves when the model is loaded. Raises Setup if it cannot be. From then on a worker
        that dies is started again, until `stop`."""
        self._reserved, port = _reserve_port()
        origin = Origin("http", "127.0.0.1", port)
        self._endpoint = Endpoint(self.name, origin, secrets.token_urlsafe(24))
        try:
            await self._load(on_progress or (lambda _model, _fraction: None))
        except BaseException:
            await self.stop()
            raise
        self._watching = asyncio.create_task(self._watch(), name=f"local model {self.name}")
        return self._endpoint

    async def stop(self) -> None:
        """Ends the worker. Idempotent."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None
        await self._end_worker()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    async def _watch(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            if self._process is not None:
                code = await self._process.wait()
                self._ready = False
                log.warning(
                    "local model %s: its process ended (%s); starting it again", self.name, code
                )
                if loop.time() - began > _STEADY_S:
                    backoff_s = _FIRST_BACKOFF_S
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
            try:
                await self._load(lambda _model, _fraction: None)
            except (Setup, OSError) as fault:
                log.error("local model %s: cannot start it again: %s", self.name, fault)
                await self._end_worker()

    async def _load(self, on_progress: OnProgress) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "headrace.services.local.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._logging = asyncio.create_task(self._keep_last_words(process.stderr))
        await child_process.give_order(process, encode_line(self._order()))
        while line := await process.stdout.readline():
            if not line.endswith(b"\n"):
                break  # it was killed as it wrote this
            match decode_event(line):
                case Loading(fraction=fraction):
                    on_progress(self.name, fraction)
                case Ready():
                    on_progress(self.name, 1.0)
                    self._ready = True
                    return
                case Failed(problem=problem, hint=hint):
                    raise Setup(problem, hint)
        code = await process.wait()
        await self._logging
        said = " / ".join(self._last_words) or "nothing"
        raise Setup(
            f"the process of the local model {self.name} ended while loading (exit {code})",
            f"it last said: {said}",
        )

    def _order(self) -> WorkerOrder:
        settings = self._settings
        return WorkerOrder(
            model=self.name,
            kind=self._model.kind,
            files={role: str(path) for role, path in self._model.files.items()},
            port=self.endpoint.origin.port,
            key=self.endpoint.key,
            parent_pid=os.getpid(),
            context_tokens=settings.context_tokens,
            parallel=settings.parallel,
            queue=settings.queue,
            threads=settings.threads,
            chat_template=self._model.chat_template,
        )

    async def _keep_last_words(self, stderr: asyncio.StreamReader) -> None:
        self._last_words.clear()
        while line := await _line(stderr):
            text = line.decode(errors="replace").rstrip()
            self._last_words.append(text)
            log.debug("local model %s: %s", self.name, text)

    async def _end_worker(self) -> None:
        process, self._process, self._ready = self._process, None, False
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        await child_process.ended(process, _STOP_S)
        await self._logging


class LocalModels:
    """The local models of a configuration, by backend's name. Each has a process of its own, so
    that a crash in one leaves the others be."""

    def __init__(self, processes: Mapping[str, ModelProcess]) -> None:
        self._processes = dict(processes)

    @classmethod
    def of(cls, backends: Mapping[str, LocalBackend]) -> LocalModels:
        """Finds the files. Raises Setup if any are missing."""
        return cls(
            {
                name: ModelProcess(resolve(backend.model), backend)
                for name, backend in backends.items()
            }
        )

    async def start(self, on_progress: OnProgress | None = None) -> dict[str, Endpoint]:
        """Loads all, one after another: loading wants every core. Raises Setup."""
        try:
            return {
                name: await process.start(on_progress) for name, process in self._processes.items()
            }
        except BaseException:
            await self.stop()
            raise

    def endpoint(self, backend: str) -> Endpoint | None:
        """The backend's endpoint, None while it is down."""
        process = self._processes[backend]
        return process.endpoint if process.ready else None

    def process(self, backend: str) -> ModelProcess:
        """The backend's process."""
        return self._processes[backend]

    async def stop(self) -> None:
        """Ends all. Idempotent."""
        await asyncio.gather(*(process.stop() for process in self._processes.values()))


def _reserve_port() -> tuple[socket.socket, int]:
    """A free loopback port, bound but not listening: nothing else is given it while the worker is
    down, the worker may still listen on it (SO_REUSEADDR), and connecting is refused meanwhile."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved, reserved.getsockname()[1]


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line; one over the reader's limit is skipped."""
    while True:
        try:
            return await stream.readline()
        except ValueError:
            continue
