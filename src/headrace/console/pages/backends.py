"""How the backends fare, and taking them out and back by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from headrace.console.page import Action, Done, Page, Visit
from headrace.console.readings import BackendNow


class Backend(Struct, frozen=True):
    """One backend over all workers."""

    now: BackendNow
    why: str
    in_s: float | None
    """When it may be asked again, at the earliest."""


def joined(told: list[dict[str, Any]]) -> list[Backend]:
    """From what each worker says."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for one in told:
        by_name.setdefault(one["name"], []).append(one)
    return [_joined(name, seen) for name, seen in by_name.items()]


def _joined(name: str, seen: list[dict[str, Any]]) -> Backend:
    waits = [one["in_s"] for one in seen if one["in_s"] is not None]
    return Backend(
        BackendNow(
            name,
            dict(Counter(one["state"] for one in seen)),
            sum(one["running"] for one in seen),
            sum(one["limit"] for one in seen),
            max((one["failure_share"] or 0.0 for one in seen), default=0.0),
        ),
        next((one["why"] for one in seen if not one["may_be_asked"]), ""),
        min(waits, default=None),
    )


async def _show(visit: Visit) -> Mapping[str, Any]:
    return {
        "backends": joined(await visit.ask("list_backends")),
        "may_change": visit.may("isolate_backend", "restore_backend"),
    }


async def _isolate(visit: Visit) -> Done:
    name = visit.form.get("backend", "")
    done = await visit.ask("isolate_backend", path={"backend": name})
    return Done("/backends", f"{name} is taken out in {_workers(done.workers)}.")


async def _restore(visit: Visit) -> Done:
    name = visit.form.get("backend", "")
    done = await visit.ask("restore_backend", path={"backend": name})
    return Done("/backends", f"{name} is back in {_workers(done.workers)}: {done.state}.")


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def page() -> Page:
    return Page(
        path="/backends",
        title="Backends",
        template="backends.html",
        needs=("list_backends",),
        show=_show,
        actions=(
            Action(path="/backends/isolate", needs=("isolate_backend",), act=_isolate),
            Action(path="/backends/restore", needs=("restore_backend",), act=_restore),
        ),
        group="Steer",
        icon="fork",
    )
