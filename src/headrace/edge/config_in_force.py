"""Which configuration a worker goes by, for the operator who asks."""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import asdict, replace

from headrace.config.loading import Loaded
from headrace.config.masking import MASK, without_shapes
from headrace.config.schema import Config
from headrace.config.show import show
from headrace.config.watch import needs_restart

_IN_URL = re.compile(r"(?<=://)([^:/@\s]*):[^@/\s]+@")


class Listening(Struct, frozen=True):
    """What the command line may have said instead of the file; fixed when a process starts."""

    host: str
    port: int
    workers: int


class ConfigInForce(Struct, frozen=True):
    """What a worker tells of its configuration."""

    text: str
    """YAML with all defaults, as `headrace config show` has it."""
    source: str | None
    """The file's path; None where there is none."""
    listening: Listening
    local_available: bool
    """Whether what is found without a file has embedded models."""
    restart: list[str]
    """Settings that are other than at the start and are taken up at the next one."""


def in_force(began_with: Loaded, now: Config, local_available: bool) -> ConfigInForce:
    """`began_with` is what the worker was started with, `now` what it last took up."""
    source, server = began_with.source, began_with.config.server
    listening = Listening(server.host, server.port, server.workers)
    return ConfigInForce(
        text_of(now, listening),
        None if source is None else str(source.absolute()),
        listening,
        local_available,
        needs_restart(began_with.config, now),
    )


def text_of(config: Config, listening: Listening) -> str:
    """As in `headrace config show`, without its first line. It has references to secrets and no
    secret; what has the look of one all the same is masked."""
    config = replace(config, server=replace(config.server, **asdict(listening)))
    text = show(Loaded(config, None, "")).partition("\n")[2]
    return without_shapes(_IN_URL.sub(rf"\1:{MASK}@", text))
