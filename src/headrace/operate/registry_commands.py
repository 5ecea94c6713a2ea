"""`headrace keys`, `tenants`, `teams`, `users`, `admin`: on the registry itself, whether a gateway
runs or not. One that runs takes up what changed within a second."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from headrace.config.loading import Loaded
from headrace.config.terms import instant_of, written_instant
from headrace.data.registry.records import KeyRecord
from headrace.data.registry.rows import Position, Wanted
from headrace.errors import Misused, Setup
from headrace.gateway.administration.checks import check_expires, check_list, check_ranges
from headrace.gateway.administration.desk import PAGE_LIMIT
from headrace.gateway.administration.faults import Denied
from headrace.gateway.administration.views import (
    KeyView,
    key_view,
)
from headrace.gateway.administration.wishes import (
    KeyChange,
    NewKey,
)
from headrace.gateway.unpriced_budgets import UnpricedModels, needs_price
from headrace.nouns import Operation
from headrace.operate.own_key import stored_key
from headrace.operate.registry import Registry
from headrace.operate.tables import wide_console
from headrace.operate.unknown_names import unknown_names

T = TypeVar("T")
_SPAN = re.compile(r"([0-9]{1,6})([smhdw])\Z")
LONGEST_S = 100 * 366 * 86_400
_NO_DOLLARS = re.compile(r"0+(\.0*)?\Z")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


_OPTIONS = {
    "name": ("a name", "Use letters, digits and `. _ : / @ -`, 128 at most."),
    "expires": (
        "--expires",
        "Write a length of time, as 30d, or a day, as 2030-12-31.",
    ),
    "budgets": ("--monthly-usd", "Write dollars, as 50 or 12.50; 0 is no budget."),
    "limits": (
        "--requests-per-minute or --tokens-per-minute",
        "Write a whole number of at least 1; 0 is no limit.",
    ),
    "operations": ("--operation", f"Use {', '.join(sorted(Operation))}."),
    "ip_ranges": ("--ip", "Write an address or a range, as 10.0.0.0/8."),
    "models": ("--model", "Write a model's name, as callers do."),
    "regions": ("--region", "Write a region's name, as the backends have it."),
    "tenants": ("--tenant", "Write a tenant's name, as `headrace tenants list` shows it."),
    "tags": ("--tag", "Write NAME=WORD, as project=search."),
}
"""By the member of a wish: how it is given, and what it takes."""


def span_s(text: str) -> float:
    """Seconds of `90s`, `30m`, `24h`, `7d`, `2w` or `0`. Raises Setup."""
    if text == "0":
        return 0.0
    match = _SPAN.match(text)
    if match is None:
        raise Misused(
            f"{text[:20]!r} is no length of time.", "Write one such as 30m, 24h, 7d or 0."
        )
    span = float(match[1]) * _UNITS_S[match[2]]
    if span > LONGEST_S:
        raise Misused(f"{text} is more than a hundred years.", "Write a shorter one, as 365d.")
    return span


def instant(text: str | None) -> str | None:
    """An instant from now for a length of time; anything else as it is. Raises Setup."""
    if text is None or _SPAN.match(text) is None:
        return text
    return written_instant(time.time() + span_s(text))


def made(kind: type[T], values: Mapping[str, Any]) -> T:
    """A wish, from options; those that are None were not given. Raises Setup."""
    given = {name: value for name, value in values.items() if value is not None}
    if any(not word.isprintable() for value in given.values() for word in _texts(value)):
        raise Misused("An option has a control character in it.", "Write it on one line.")
    try:
        wish = msgspec.convert(given, kind)
        _check(given)
    except Denied as denied:
        option = _OPTIONS[denied.param or ""][0]
        raise Misused(f"What stands there does not fit {option}.", denied.detail) from denied
    except msgspec.ValidationError as error:
        found = re.search(r"`\$\.(\w+)", str(error))
        option, hint = _OPTIONS.get(found[1], (found[1], "")) if found else ("an option", "")
        raise Misused(
            f"What stands there does not fit {option}.",
            hint or "See `--help` for what each option takes.",
        ) from error
    return wish


def _check(given: Mapping[str, Any]) -> None:
    """What the registry would refuse, whatever is in it. Raises Denied(INVALID)."""
    for name in ("models", "regions", "operations", "tenants"):
        check_list(name, given.get(name))
    check_ranges(given.get("ip_ranges"))
    check_expires(given.get("expires"), time.time())


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def key_options(values: dict[str, Any]) -> dict[str, Any]:
    """Options as a wish has them: `expires` may be a length of time, `tags` are `NAME=WORD`,
    `requests_per_minute` and so on are rules, and 0 takes those off that there were. Raises
    Setup."""
    per_minute, budget = values.pop("requests_per_minute", None), values.pop("monthly_usd", None)
    tokens = values.pop("tokens_per_minute", None)
    amounts = (("requests", per_minute), ("tokens", tokens))
    if any(amount is not None for _, amount in amounts):
        values["limits"] = [{"per": "key", name: amount} for name, amount in amounts if amount]
    if budget is not None:
        values["budgets"] = (
            [] if _NO_DOLLARS.match(budget) else [{"per": "key", "usd": budget, "every": "month"}]
        )
    values["expires"] = instant(values.get("expires"))
    if values.get("tags") is not None:
        pairs = [tag.partition("=") for tag in values["tags"]]
        if not all(name and word for name, _, word in pairs):
            raise Misused("A tag is written NAME=WORD.", "For instance: --tag project=search")
        values["tags"] = {name: word for name, _, word in pairs}
    return values


def _unbounded(options: Mapping[str, Any]) -> list[str]:
    """Options whose 0 takes away what a new key does not have: it may have been meant as nothing
    at all."""
    dollars = options.get("monthly_usd") or ""
    return [
        f"--{name.replace('_', '-')}"
        for name in ("requests_per_minute", "tokens_per_minute", "monthly_usd")
        if options.get(name) == 0 or (name == "monthly_usd" and _NO_DOLLARS.match(dollars))
    ]


def create_key(loaded: Loaded, options: dict[str, Any], *, as_json: bool) -> int:
    unbounded = _unbounded(options)
    with Registry.of(loaded) as registry:
        new = made(NewKey, key_options(options))
        first = not registry.keys.page(registry.by, Wanted("key"), None, 1)
        record, secret = registry.keys.create(registry.by, new)
    _told_once(key_view(record, time.time()), secret.reveal(), as_json)
    for option in unbounded:
        note(f"Warning: `{option} 0` bounds nothing. To let no call through, revoke the key.")
    _warn(loaded, record)
    if first and not loaded.config.keys and stored_key(loaded.store_folder) is not None:
        note("The gateway's generated key opens nothing from its next start on: use this one.")
    return 0


def list_keys(
    loaded: Loaded,
    *,
    tenant: str | None,
    team: str | None,
    user: str | None,
    as_json: bool,
    all_states: bool,
) -> int:
    tenants = None if tenant is None else frozenset((tenant,))
    wanted = Wanted("key", tenants, team=team, user=user)
    now = time.time()
    rows: list[dict[str, Any]] = []
    for name, key in loaded.config.keys.items():
        if (tenant or key.tenant, team or key.team, user or key.user) == (
            key.tenant, key.team, key.user,
        ):  # fmt: skip
            rows.append(_file_key(name, key, now))
    with Registry.of(loaded) as registry:
        after: Position | None = None
        while found := registry.keys.page(registry.by, wanted, after, PAGE_LIMIT):
            rows += [_told(key_view(key, now)) for key in found]
            after = found[-1].terms.tenant, found[-1].id
    if not all_states:
        rows = [row for row in rows if row["state"] != "revoked"]
    if as_json:
        print(msgspec.json.encode(rows).decode())
        return 0
    table = Table(
        Column("Key", no_wrap=True), "Name", "State", "Tenant", "Team", "User", "Models", "Expires"
    )
    for row in rows:
        table.add_row(
            *(Text(str(row[name] or "")) for name in ("id", "name", "state", "tenant", "team")),
            Text(row["user"] or ""),
            Text("all" if row["models"] is None else ", ".join(row["models"])),
            Text(row["expires"] or "never"),
        )
    wide_console().print(
        table if rows else "There are no keys. Make one: headrace keys create NAME"
    )
    return 0


def show_key(loaded: Loaded, name: str, *, as_json: bool) -> int:
    now = time.time()
    with Registry.of(loaded) as registry:
        if name in loaded.config.keys:
            told = _file_key(name, loaded.config.keys[name], now)
        else:
            told = _told(key_view(registry.keys.named(registry.by, name), now))
    _show(told, as_json)
    return 0


def update_key(loaded: Loaded, name: str, options: dict[str, Any], *, as_json: bool) -> int:
    with Registry.of(loaded) as registry:
        key = _registered(loaded, registry, name)
        change = made(KeyChange, key_options(options))
        if all(value is UNSET for value in msgspec.structs.astuple(change)):
            raise Misused("Nothing is to be changed.", "See `headrace keys update --help`.")
        record = registry.keys.update(registry.by, key.id, change)
    _show(_told(key_view(record, time.time())), as_json)
    _warn(loaded, record)
    return 0


def _warn(loaded: Loaded, record: KeyRecord) -> None:
    """Of names that nobody offers, and where a budget of the key refuses what it cannot reckon."""
    for warning in unknown_names(loaded, record.terms.models, record.terms.regions):
        note(warning)
    if not any(map(needs_price, record.terms.budgets)):
        return
    unpriced = UnpricedModels(loaded.config)
    names = record.terms.models
    if models := unpriced.of(None if names is None else frozenset(names)):
        note(f"Warning: {unpriced.told(models)}. {unpriced.remedy(models)}")


def rotate_key(loaded: Loaded, name: str, grace: str, *, as_json: bool) -> int:
    grace_s = span_s(grace)
    with Registry.of(loaded) as registry:
        key = _registered(loaded, registry, name)
        record, secret = registry.keys.rotate(registry.by, key.id, grace_s)
    _told_once(key_view(record, time.time()), secret.reveal(), as_json)
    if not as_json:
        note(f"The secret before it works for {grace} more." if grace_s else "The old one is out.")
    return 0


def revoke_key(loaded: Loaded, name: str, *, as_json: bool) -> int:
    with Registry.of(loaded) as registry:
        key = _registered(loaded, registry, name)
        record = registry.keys.revoke(registry.by, key.id)
    if as_json:
        print(msgspec.json.encode(key_view(record, time.time())).decode())
    else:
        print(f"{record.id} ({record.name}) is revoked; running gateways refuse it from now on.")
    return 0


def _registered(loaded: Loaded, registry: Registry, name: str) -> KeyRecord:
    if name in loaded.config.keys:
        raise Setup(
            f"The key {name!r} stands in {loaded.source}, so it is changed there.",
            "A running gateway takes up the file when it is written.",
        )
    return registry.keys.named(registry.by, name)


def _file_key(name: str, key: Any, now: float) -> dict[str, Any]:
    ended = key.expires is not None and instant_of(key.expires) <= now
    return {
        "id": name,
        "name": name,
        "state": "expired" if ended else "live",
        "source": "file",
        **{
            field: getattr(key, field)
            for field in key.__struct_fields__
            if field not in ("secret",)
        },
    }


def _told(view: KeyView) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(view)
    return {"source": "registry", **told}


def _show(told: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(told).decode())
        return
    table = Table(show_header=False, box=None)
    for name, value in told.items():
        if value not in (None, [], {}):
            table.add_row(Text(name, style="bold"), Text(_plain(value)))
    wide_console().print(table)


def _plain(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _told_once(view: KeyView, text: str, as_json: bool) -> None:
    """The secret alone on standard output, so that a script can take it."""
    if as_json:
        print(msgspec.json.encode({"key": view, "secret": text}).decode())
        return
    print(text)
    note(f"Key {view.id} ({view.name}), tenant {view.tenant}. It is shown this once: keep it now.")


def note(text: str) -> None:
    Console(stderr=True, highlight=False).print(Text(text))


def words(values: Iterable[str] | None) -> list[str] | None:
    """Options that may be given several times, or once with commas."""
    if values is None:
        return None
    return [word for value in values for word in value.split(",") if word]
