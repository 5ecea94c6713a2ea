"""Virtual keys as calls meet them: looked up, bounded, ended."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from headrace.allowances import BudgetRule, LimitRule
from headrace.config.terms import KeyTerms
from headrace.data.registry.key_text import CLIENT, digest, mint, new_id
from headrace.data.registry.records import KeyRecord, UnitRecord, Version, row_of
from headrace.data.registry.rows import Row
from headrace.errors import Reason, Refused
from headrace.gateway.callers import is_from
from headrace.gateway.identity import Identity
from headrace.gateway.keyring import Keyring
from headrace.nouns import Caller, Operation, Priority

NOW = 1_800_000_000.0


class World:
    """A registry of rows in memory, a keyring that follows it, and a clock."""

    def __init__(self) -> None:
        self.now = NOW
        self.keyring = Keyring()
        self.identity = Identity(self.keyring, lambda: self.now)
        self.revision = 0

    def take(self, *records: KeyRecord | UnitRecord) -> None:
        rows: list[Row] = []
        for record in records:
            self.revision += 1
            rows.append(msgspec.structs.replace(row_of(record), revision=self.revision))
        self.keyring.take(rows)

    def caller(self, text: str, ip: str = "192.0.2.1") -> Caller:
        return self.identity.identify(text.encode(), ip)

    def refusal(self, text: str, ip: str = "192.0.2.1") -> Refused:
        with pytest.raises(Refused) as caught:
            self.caller(text, ip)
        assert text not in caught.value.detail
        return caught.value


@pytest.fixture
def world() -> World:
    return World()


def key(**terms: Any) -> tuple[KeyRecord, str]:
    key_id = new_id()
    text = mint(CLIENT, key_id)
    record = KeyRecord(
        id=key_id,
        name="shop",
        terms=KeyTerms(**terms),
        versions=(Version(digest(text.encode()), NOW),),
        created_unix_s=NOW,
        created_by="local:test",
    )
    return record, text


def unit(kind: Any, name: str, **more: Any) -> UnitRecord:
    return UnitRecord(kind=kind, name=name, tenant=more.pop("tenant", "acme"), **more)


def test_a_key_carries_its_terms(world: World) -> None:
    limit, budget = LimitRule(per="key", requests=5), BudgetRule(per="key", usd="1")
    record, text = key(
        tenant="acme", team="red", user="ann", models=["a"], regions=["eu"], operations=["chat"],
        priority="critical", limits=[limit], budgets=[budget], tags={"b": "2", "a": "1"},
    )  # fmt: skip
    world.take(record)
    assert world.caller(text) == Caller(
        key_id=record.id, user="ann", team="red", tenant="acme", models=frozenset({"a"}),
        regions=frozenset({"eu"}), operations=frozenset({
            Operation.CHAT, Operation.MESSAGES, Operation.RESPONSES, Operation.RESPONSE,
            Operation.COUNT_TOKENS,
        }),
        priority=Priority.CRITICAL, limits=(limit,), budgets=(budget,),
        tags=(("a", "1"), ("b", "2")),
    )  # fmt: skip


def test_a_mistyped_key_is_told_from_an_unknown_one(world: World) -> None:
    _, other = key()
    assert "not known" in world.refusal(other).detail
    assert "mistyped" in world.refusal(other[:-1] + ("a" if other[-1] != "a" else "b")).detail
    assert "mistyped" in world.refusal(other[:-5]).detail


def test_two_secrets_live_till_the_old_one_ends(world: World) -> None:
    record, old = key()
    new = mint(CLIENT, record.id)
    first = msgspec.structs.replace(record.versions[0], until_unix_s=NOW + 60)
    world.take(record)
    world.take(
        msgspec.structs.replace(record, versions=(Version(digest(new.encode()), NOW), first))
    )
    assert world.caller(old) == world.caller(new)
    world.now = NOW + 59.9
    assert world.caller(old).key_id == record.id
    world.now = NOW + 60
    assert world.refusal(old).reason is Reason.UNAUTHENTICATED
    assert world.caller(new).key_id == record.id


def test_what_a_key_no_longer_has_opens_nothing(world: World) -> None:
    record, old = key()
    new = mint(CLIENT, record.id)
    world.take(record)
    world.take(msgspec.structs.replace(record, versions=(Version(digest(new.encode()), NOW),)))
    assert "not known" in world.refusal(old).detail
    assert len(world.keyring.known) == 1


def test_a_revoked_key_is_told_so(world: World) -> None:
    record, text = key()
    world.take(record)
    assert world.caller(text)
    world.take(msgspec.structs.replace(record, revoked_unix_s=NOW))
    fault = world.refusal(text)
    assert fault.reason is Reason.UNAUTHENTICATED
    assert "revoked" in fault.detail


def test_a_key_ends_at_its_instant(world: World) -> None:
    record, text = key(expires="2027-01-15T08:00:00Z")
    world.take(record)
    world.now = NOW - 0.01
    assert world.caller(text)
    world.now = NOW
    assert "expired" in world.refusal(text).detail


def test_a_key_is_good_at_its_addresses_alone(world: World) -> None:
    record, text = key(ip_ranges=["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"])
    world.take(record)
    for ip in ("10.1.2.3", "2001:db8::1", "192.0.2.7", "::ffff:10.1.2.3"):
        assert world.caller(text, ip)
    for ip in ("11.0.0.1", "192.0.2.8", "2001:db9::1", "", "10.1.2", "unix", "::ffff:11.0.0.1"):
        assert world.refusal(text, ip).reason is Reason.ADDRESS_FORBIDDEN


def test_addresses_with_a_zone_are_no_others() -> None:
    assert not is_from("not an address", ())


def test_what_a_tenant_and_a_team_allow_are_ceilings(world: World) -> None:
    record, text = key(tenant="acme", team="red", models=["a", "b", "c"])
    limit = LimitRule(per="team", requests=9)
    world.take(
        unit("tenant", "acme", models=["a", "b", "x"], regions=["eu", "us"]),
        unit("team", "red", models=["b", "c"], regions=["eu"], limits=[limit]),
        unit("team", "red", tenant="other", models=["nothing"]),
        record,
    )
    caller = world.caller(text)
    assert caller.models == frozenset({"b"})
    assert caller.regions == frozenset({"eu"})
    assert caller.limits == ()
    assert caller.shared_limits == (("team:acme/red", limit),)
    assert world.keyring.bounded


def test_ceilings_without_anything_in_common_allow_nothing(world: World) -> None:
    record, text = key(tenant="acme", models=["a"])
    world.take(unit("tenant", "acme", models=["b"]), record)
    assert world.caller(text).models == frozenset()


@pytest.mark.parametrize("kind", ["tenant", "team", "user"])
def test_who_is_suspended_has_no_keys(world: World, kind: str) -> None:
    record, text = key(tenant="acme", team="acme", user="acme")
    world.take(unit(kind, "acme", suspended=True), record)
    assert f"The {kind}" in world.refusal(text).detail


def test_a_row_that_cannot_be_read_opens_nothing(world: World) -> None:
    record, text = key()
    other, other_text = key()
    world.take(record, other)
    world.keyring.take([Row("key", "default", record.id, "shop", None, None, b"{broken", 3)])
    assert "not known" in world.refusal(text).detail
    assert world.caller(other_text)
    assert world.keyring.revision == 3


def test_equal_parts_are_held_once(world: World) -> None:
    found = [key(tenant="acme", team="red", models=["a", "b"], tags={"x": "y"}) for _ in range(3)]
    world.take(*(record for record, _ in found))
    one, two, three = (world.caller(text) for _, text in found)
    assert one.models is two.models is three.models
    assert one.tenant is two.tenant is three.tenant
    assert one.tags is two.tags is three.tags


def test_any_order_of_changes_ends_the_same() -> None:
    """The keyring that followed each change equals one that read the end."""
    rng = random.Random(7)
    world = World()
    records: dict[str, KeyRecord] = {}
    for _ in range(300):
        if records and rng.random() < 0.6:
            key_id = rng.choice(sorted(records))
            change: dict[str, Any] = rng.choice(
                [
                    {"revoked_unix_s": NOW},
                    {"terms": KeyTerms(models=[rng.choice("abc")])},
                    {"versions": (Version(rng.randbytes(32), NOW),)},
                ]
            )
            records[key_id] = msgspec.structs.replace(records[key_id], **change)
        else:
            record, _ = key()
            key_id, records[record.id] = record.id, record
        world.take(records[key_id])
    fresh = World()
    fresh.take(*records.values())
    assert fresh.keyring.known == world.keyring.known
