"""`headrace models list` and `pull`."""

from __future__ import annotations

import asyncio
import json

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from headrace.errors import Misused
from headrace.operate.tables import wide_console
from headrace.services.local.catalogue import KNOWN, installed, models_folder, pulled
from headrace.services.local.pull import pull


def list_models(*, as_json: bool) -> None:
    """Prints what there is and which of it is on this machine."""
    folder = models_folder()
    rows = []
    for entry in KNOWN.values():
        here = bool(pulled(entry, folder) or installed(entry))
        rows.append(
            {
                "name": entry.name,
                "kind": entry.kind,
                "title": entry.title,
                "licence": entry.licence,
                "size_bytes": entry.size_bytes,
                "here": here,
            }
        )
    others = sorted(path.stem for path in folder.glob("*.gguf")) if folder.is_dir() else []
    if as_json:
        print(json.dumps({"models": rows, "own_files": others}))
        return
    table = Table("Model", "Kind", "What", "Licence", "Size", "Here")
    for row in rows:
        size = f"{int(str(row['size_bytes'])) / 1e6:.0f} MB"
        table.add_row(
            str(row["name"]),
            str(row["kind"]),
            str(row["title"]),
            str(row["licence"]),
            size,
            "yes" if row["here"] else f"headrace models pull {row['name']}",
        )
    for name in others:
        table.add_row(name, "chat", f"{name}.gguf in {folder}", "", "", "yes")
    wide_console().print(table)


def pull_model(name: str) -> None:
    """Fetches a model's files, unless a package brought them. Raises Setup."""
    if name not in KNOWN:
        raise Misused(f"No model {name[:60]!r} can be fetched.", f"Known are {', '.join(KNOWN)}.")
    entry = KNOWN[name]
    if (here := installed(entry)) is not None:
        print("\n".join(str(path) for path in here.files.values()))
        return
    console = Console(stderr=True, highlight=False)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
    ) as bars:
        task = bars.add_task(f"pulling {name}", total=entry.size_bytes)
        model = asyncio.run(
            pull(name, lambda done, total: bars.update(task, completed=done, total=total))
        )
    print("\n".join(str(path) for path in model.files.values()))
