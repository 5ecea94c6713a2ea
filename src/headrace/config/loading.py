"""From the file to a checked `Config`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from headrace.config.defaults import completed, discover, resolved
from headrace.config.masking import quoted
from headrace.config.problems import ConfigError, Findings, KeyPath, Place, Problem
from headrace.config.rules import Rules
from headrace.config.schema import Config
from headrace.config.shape import BAD, Shape
from headrace.config.yamltree import SIZE_LIMIT, read_tree
from headrace.errors import Setup

DEFAULT_NAME = "headrace.yaml"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config that is ready to serve, and where it came from."""

    config: Config
    """With the models that were left out filled in."""
    source: Path | None
    """The file; None if there is none and the config was discovered."""
    digest: str
    """SHA-256 of the file's bytes, or of the discovered config."""
    warnings: tuple[Problem, ...] = ()
    places: Mapping[KeyPath, Place] = field(default_factory=dict)
    """Where each key stands in the file."""

    @property
    def folder(self) -> Path:
        """Where relative paths in the config start."""
        return Path.cwd() if self.source is None else self.source.absolute().parent

    @property
    def store_folder(self) -> Path:
        """The store's folder; a relative one starts at the configuration's folder."""
        return self.folder / Path(self.config.store.folder).expanduser()


def locate(option: Path | None, environ: Mapping[str, str], folder: Path) -> Path | None:
    """The file to use: `--config`, else `HEADRACE_CONFIG`, else `headrace.yaml` in `folder`.

    None if nothing names a file and there is none. Raises `Setup` if a file is named but missing.
    """
    named = environ.get("HEADRACE_CONFIG", "").strip()
    if option is not None or named:
        path = option if option is not None else Path(named)
        said_by = "" if option is not None else ", which HEADRACE_CONFIG names"
        if not path.exists():
            raise Setup(
                f"There is no file {quoted(str(path), 200)}{said_by}.",
                f"Correct the name, or leave it out to use ./{DEFAULT_NAME} if there is one.",
            )
        return path
    path = folder / DEFAULT_NAME
    # A dangling link is a mistake to report, not a missing file.
    if not path.exists() and not path.is_symlink():
        return None
    return Path(DEFAULT_NAME) if folder == Path.cwd() else path


def load(path: Path) -> Loaded:
    """Reads and checks a file. Raises `ConfigError` with every problem found."""
    return loaded(read(path), path)


def read(path: Path) -> bytes:
    """The file's bytes, at most one more than the limit. Raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            return file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError([_unreadable(path, error)]) from None


def loaded(data: bytes, path: Path) -> Loaded:
    """Checks the bytes of a file; `path` is for messages. Raises `ConfigError`."""
    findings = Findings(str(path))
    config, places = _config(data, findings)
    if findings.problems or config is None:
        raise ConfigError(findings.problems)
    return Loaded(
        config=resolved(config),
        source=path,
        digest=hashlib.sha256(data).hexdigest(),
        warnings=tuple(sorted(findings.warnings, key=lambda p: (p.line, p.column))),
        places=places,
    )


def discovered(environ: Mapping[str, str], local_available: bool) -> Loaded:
    """What is served without a file. Raises `Setup` if a provider's variable is malformed."""
    config = discover(environ, local_available)
    digest = hashlib.sha256(msgspec.json.encode(config)).hexdigest()
    return Loaded(config=config, source=None, digest=digest)


def with_found(made: Loaded, environ: Mapping[str, str], local_available: bool) -> Loaded:
    """For a file that has settings but neither backends nor models: adds what is found.

    Any other is returned as it is. Raises `Setup` as `discovered` does.
    """
    config = completed(made.config, environ, local_available)
    return made if config is made.config else replace(made, config=config)


def _config(data: bytes, findings: Findings) -> tuple[Config | None, Mapping[KeyPath, Place]]:
    tree = read_tree(data, findings)
    if tree is None:
        return None, {}
    shape = Shape(findings)
    value = shape.check(tree, msgspec.inspect.type_info(Config))
    if value is BAD:
        return None, {}
    try:
        config = msgspec.convert(value, Config)
    except (msgspec.ValidationError, ValueError, TypeError):
        # Not reached while Shape is as strict as msgspec; its text may quote a value, so it is
        # not shown.
        if not findings.problems:
            findings.problem(Place(), (), "the file does not fit the schema", "Report this fault.")
        return None, {}
    Rules(config, shape.places, findings).check()
    return config, shape.places


def _unreadable(path: Path, error: OSError) -> Problem:
    match error:
        case FileNotFoundError():
            what, instead = "there is no such file", "Check the path."
        case IsADirectoryError():
            what, instead = "this is a folder", f"Name the file in it, such as {DEFAULT_NAME}."
        case PermissionError():
            what = "this user may not read the file"
            instead = "Change its owner or mode, as in `chmod u+r`."
        case _:
            what, instead = f"the file can't be read ({error.strerror})", "Check the path."
    return Problem(str(path), 0, 0, "", what, instead)
