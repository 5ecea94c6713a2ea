"""`headrace serve` on a terminal: its options, its bars, what it says when it serves."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from contextlib import nullcontext

import msgspec
import uvloop
from msgspec import inspect
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

from headrace.config.defaults import search
from headrace.config.loading import Loaded
from headrace.config.words import expected
from headrace.errors import Misused
from headrace.gateway.by_address import shared_address
from headrace.gateway.unpriced_budgets import unpriced_budgets
from headrace.operate.finding import local_available
from headrace.operate.serve import Serving, serve
from headrace.operate.worker_process import with_server
from headrace.platform.logs import log_to_stderr

log = logging.getLogger("headrace.serve")


def check_log_level(level: str) -> None:
    """Raises Setup."""
    if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise Misused(
            f"There is no log level {level[:20]!r}.", "Use DEBUG, INFO, WARNING or ERROR."
        )


def with_options(loaded: Loaded, host: str | None, port: int | None, workers: int | None) -> Loaded:
    """The configuration with the command line's options, which win over the file. Raises Setup."""
    given = {"host": host, "port": port, "workers": workers}
    changes = {name: value for name, value in given.items() if value is not None}
    settings = msgspec.to_builtins(loaded.config.server) | changes
    try:
        server = msgspec.convert(settings, type(loaded.config.server))
    except msgspec.ValidationError as error:
        name = str(error).partition(" - at `$.")[2].rstrip("`")
        form = inspect.type_info(type(loaded.config.server))
        assert isinstance(form, inspect.StructType)
        kind = next(field.type for field in form.fields if field.encode_name == name)
        raise Misused(
            f"--{name} takes {expected(kind)}, not {changes[name]!r}.",
            "See `headrace serve --help`.",
        ) from error
    return with_server(loaded, server)


def run_gateway(loaded: Loaded, *, log_level: str, as_json: bool) -> None:
    """Serves until it is told to stop, with a bar while models load. Raises Setup."""
    logs = log_to_stderr(log_level)
    err = Console(stderr=True, highlight=False)
    shared = shared_address(loaded, loaded.config.server.host)
    for warning in (*loaded.warnings, *unpriced_budgets(loaded), *shared):
        if err.is_terminal:
            err.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)
        else:
            log.warning("configuration", extra={"detail": str(warning)})
    if loaded.source is None:
        for note in search(os.environ, local_available()).notes:
            err.print(Text(f"note: {note}", style="yellow"))
    bars = loading_bars(err)
    tasks: dict[str, TaskID] = {}

    def on_progress(model: str, fraction: float) -> None:
        if model not in tasks:
            tasks[model] = bars.add_task(f"loading {model}", total=1.0)
        bars.update(tasks[model], completed=fraction)

    def on_ready(serving: Serving) -> None:
        if err.is_terminal:  # elsewhere it would leave an empty line among those of the log
            bars.stop()
        if as_json:
            print(_as_json(serving), flush=True)
        else:
            _welcome(serving)

    with bars if err.is_terminal else nullcontext():
        uvloop.run(
            serve(loaded, logs, log_level=log_level, on_progress=on_progress, on_ready=on_ready)
        )


def loading_bars(console: Console) -> Progress:
    """Bars for work whose fraction is known."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), console=console
    )


def _as_json(serving: Serving) -> str:
    return msgspec.json.encode(
        {
            "url": serving.url,
            "models": serving.models,
            "key": None if serving.key is None else serving.key.reveal(),
            "config": None if serving.config is None else str(serving.config),
            "admin_url": serving.admin_url,
            "tools_url": serving.tools_url,
            "admin_key": None if serving.admin_key is None else serving.admin_key.reveal(),
        }
    ).decode()


def _key_in_shell(serving: Serving) -> str:
    """How a shell comes by a key: as the configuration does."""
    reference = serving.own_keys[0][1] if serving.own_keys else "env:HEADRACE_KEY"
    scheme, _, where = reference.partition(":")
    if scheme != "file":
        return f"${where}"
    path = where if serving.config is None else str(serving.config.parent / where)
    return f"$(cat {shlex.quote(path)})"


def key_lines(serving: Serving) -> list[str]:
    """What calls are made with."""
    if serving.key is not None:
        made = "made now, kept" if serving.key_is_new else "kept"
        return [f"Key     {serving.key.reveal()}  ({made} in the store's folder)"]
    if serving.own_keys:
        return [f"Key     {_key_in_shell(serving)}, the key {serving.own_keys[0][0]!r} of the file"]
    if serving.registered:
        return [
            "Key     one of those that `headrace keys list` shows, as HEADRACE_KEY;",
            "        the generated one opens nothing any more",
        ]
    if serving.issuers:
        return [f"Key     an access token of {' or '.join(serving.issuers)}, as HEADRACE_KEY"]
    return ["Key     none yet: make one with `headrace keys create NAME`"]


def _welcome(serving: Serving) -> None:
    console = Console(highlight=False)
    key = _key_in_shell(serving) if serving.key is None else serving.key.reveal()
    model = next((name for name in serving.models if name != "*"), "gpt-4o-mini")
    lines = [
        f"URL     {serving.url}",
        f"Models  {', '.join(serving.models)}",
        f"Config  {serving.config or 'none: serving what was found'}",
    ]
    lines += key_lines(serving)
    if serving.admin_url is not None:
        lines.append(f"Admin   {serving.admin_url}")
    if serving.admin_key is not None:
        lines.append(f"        {serving.admin_key.reveal()}  (made now, shown this once)")
    if serving.tools_url is not None:
        lines.append(f"Tools   {serving.tools_url}")
    console.print(Panel(Text("\n".join(lines)), title="Headrace serves", expand=False))
    console.print("Try it:")
    print(
        f'curl {serving.url}/chat/completions -H "Authorization: Bearer {key}" \\\n'
        f"  -H 'Content-Type: application/json' \\\n"
        f'  -d \'{{"model":"{model}","messages":[{{"role":"user","content":"Hello!"}}]}}\'',
        flush=True,
    )
    sys.stdout.flush()
