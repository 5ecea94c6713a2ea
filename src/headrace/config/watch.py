"""Takes up a changed file while Headrace runs. A bad file changes nothing but the log."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec

from headrace.config.backends import LocalBackend
from headrace.config.loading import Loaded, loaded, read
from headrace.config.problems import ConfigError
from headrace.config.schema import Config
from headrace.errors import Setup

RESTART_FIELDS = (
    "server.host",
    "server.port",
    "server.workers",
    "server.body_limit_bytes",
    "server.header_limit_bytes",
    "server.header_timeout_s",
    "server.body_timeout_s",
    "server.keep_alive_s",
    "server.drain_s",
    "server.max_connections",
    "server.tls",
    "store",
    "export",
    "redis",
    "counting.tokens",
    "admin",
    "mcp",
    "telemetry",
    "alerts",
    "resilience.kept_answers",
)
"""Settings of the listening port, of Redis and of the store: fixed when a process starts."""
_TAKEN_UP = frozenset({"mcp.access", "mcp.limits"})
"""Within those, what is followed as it changes."""

_DEBOUNCE_MS = 300
_STEP_MS = 50
_LOOK_MS = 1000
_SETTLE_LOOKS = 10
_LINK_LIMIT = 20

Stamp = tuple[int, ...]
"""Device, inode, size in bytes, and time of the last change in nanoseconds; empty: no file."""

OnChange = Callable[[Loaded], Awaitable[None]]
OnBad = Callable[[Setup], Awaitable[None]]


def needs_restart(old: Config, new: Config) -> list[str]:
    """Fields that differ but take effect only at the next start, such as `server.port`."""
    fields = [
        name
        for field in RESTART_FIELDS
        for name in _changed(_at(old, field), _at(new, field), field)
        if name not in _TAKEN_UP
    ]
    # A local model runs in a process of its own, which starts with the gateway.
    for name, backend in new.backends.items():
        if isinstance(backend, LocalBackend) and backend != old.backends.get(name, backend):
            fields.append(f"backends.{name}")
    return fields


def _at(config: Config, field: str) -> object:
    value: object = config
    for part in field.split("."):
        value = getattr(value, part)
    return value


def _changed(old: object, new: object, name: str) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        for field in old.__struct_fields__:
            yield from _changed(getattr(old, field), getattr(new, field), f"{name}.{field}")
    else:
        yield name


class Watcher:
    """Reloads one file when it changes, and when `reload()` is called, as on SIGHUP.

    Sees edits in place, editors that put a new file in the old one's stead, and Kubernetes'
    swap of the folder that a link points to; where the file system tells of no changes, a look
    each second finds them. A file whose bytes are those in use, or those found bad the last time,
    calls nothing.
    """

    def __init__(self, current: Loaded, on_change: OnChange, on_bad: OnBad) -> None:
        """`current.source` must be a file.

        `on_change` may refuse the config by raising `Setup`; `on_bad` then gets it.
        """
        if current.source is None:
            raise ValueError("there is no file to watch")
        self._path = current.source
        self._digest = current.digest
        self._bad: str | None = None
        self._stamp: Stamp | None = None
        self._on_change = on_change
        self._on_bad = on_bad
        self._turn = asyncio.Lock()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Watches until `stop()` or until it is cancelled."""
        # Here, since it takes a twentieth of a start and the port need not wait for it.
        from watchfiles._rust_notify import WatchfilesRustInternalError  # not exported, but raised

        while not self._stop.is_set():
            try:
                await self._watch(_folders(self._path))
            except (OSError, WatchfilesRustInternalError):
                # A folder vanished, or the system has no more watches to give.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _LOOK_MS / 1000)
                await self._look()

    def stop(self) -> None:
        self._stop.set()

    async def reload(self) -> None:
        """Reads the file now and reports it, changed or not."""
        async with self._turn:
            self._digest, self._bad = "", None
            await self._report()

    async def _watch(self, folders: frozenset[Path]) -> None:
        """Returns when the links on the way to the file lead through other folders."""
        from watchfiles import awatch

        async for changes in awatch(
            *folders,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=self._stop,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            recursive=False,
        ):
            if changes or _stamp(self._path) != self._stamp:
                await self._look()
            if _folders(self._path) != folders:
                return

    async def _look(self) -> None:
        async with self._turn:
            await self._report()

    async def _report(self) -> None:
        self._stamp = _stamp(self._path)
        digest = ""
        try:
            data = await self._settled()
            digest = hashlib.sha256(data).hexdigest()
            if digest == self._digest:
                self._bad = None
                return
            if digest == self._bad:
                return
            # A large file takes long enough to read that running calls would notice.
            new = await asyncio.to_thread(loaded, data, self._path)
            await self._on_change(new)
        except Setup as fault:
            bad = digest or str(fault)
            if bad != self._bad:
                self._bad = bad
                await self._on_bad(fault)
            return
        self._digest, self._bad = digest, None

    async def _settled(self) -> bytes:
        """The file's bytes once two looks agree: an editor may be half-way through a write."""
        data: bytes | None = None
        for _ in range(_SETTLE_LOOKS):
            before, data = data, _read_or_none(self._path)
            if data is not None and data == before:
                return data
            await asyncio.sleep(_STEP_MS / 1000)
        return read(self._path)


def _read_or_none(path: Path) -> bytes | None:
    try:
        return read(path)
    except ConfigError:
        return None


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _folders(path: Path) -> frozenset[Path]:
    """The folder of the file and of each link on the way to it."""
    folders: set[Path] = set()
    at = path.absolute()
    for _ in range(_LINK_LIMIT):
        folders.add(at.parent)
        # A folder on the way may be the link that is swapped, as in a Kubernetes volume.
        link = next((part for part in (at, *at.parents) if part.is_symlink()), None)
        if link is None:
            break
        folders.add(link.parent)
        at = link.parent / link.readlink() / at.relative_to(link)
    return frozenset(folder for folder in folders if folder.is_dir())
