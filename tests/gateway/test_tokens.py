"""Access tokens against a real identity provider on a socket: T19, T20, and what claims become."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.allowances import LimitRule
from headrace.config.oidc import Oidc
from headrace.data.registry.records import UnitRecord, row_of
from headrace.errors import Reason, Refused
from headrace.gateway.keyring import Keyring
from headrace.gateway.token_assembly import KeyStore, key_place, tokens
from headrace.gateway.tokens import VERIFIED_S, KeysAwaited, Tokens, Verified
from headrace.nouns import Caller
from headrace.platform.oidc.jose import Jose
from headrace.platform.oidc.key_set import MISSED_LIMIT, SLOT_S, STALE_S, KeySet
from headrace.platform.oidc.token_rules import Rejected, Rules, check_claims, check_header, parse
from support.forged_tokens import bad_members, forgeries, good_tokens
from support.identity_provider import AUDIENCE, IdentityProvider, identity_provider, part


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with identity_provider(tmp_path_factory.mktemp("provider")) as made:
        made.extra = bad_members()
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[IdentityProvider]:
    """A provider of the test's own, to be changed at will."""
    with identity_provider(tmp_path) as made:
        yield made


class Clock:
    """Virtual time: the wall's and the monotonic one, moved together."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._wall = time.time() - self.now

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return self._wall + self.now


class World:
    """Tokens of one issuer, as a gateway would have them."""

    def __init__(self, provider: IdentityProvider, **issuer: Any) -> None:
        self.provider = provider
        self.clock = Clock()
        settings = {
            "issuer": provider.issuer,
            "audience": AUDIENCE,
            "algorithms": ["RS256", "ES256", "EdDSA"],
            "allow_private": True,
            "discovery_url": f"{provider.root}/directory/v2.0/.well-known/openid-configuration",
            "grants": [{"when": {"groups": "g-search"}, "team": "search", "models": ["one"]}],
        } | issuer
        self.oidc = msgspec.convert({"issuers": {"idp": settings}}, Oidc)
        self.store = KeyStore({}, provider.trust(), self.clock)
        self.registered = Keyring()
        made = tokens(self.oidc, self.store, self.registered, self.clock.wall)
        assert made is not None
        self.tokens: Tokens = made

    @property
    def keys(self) -> KeySet:
        return self.store.keys(key_place(self.oidc.issuers["idp"])).set

    async def prove(self, token: str) -> Verified:
        """As the port does: waits once for a fetch."""
        credential = token.encode()
        digest = hashlib.sha256(credential).digest()
        try:
            return self.tokens.prove(credential, digest)
        except KeysAwaited as awaited:
            await awaited.fetched()
            return self.tokens.prove(credential, digest)

    async def caller(self, token: str) -> Caller:
        return (await self.prove(token)).known.caller

    async def refusal(self, token: str) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.prove(token)
        return caught.value


@pytest.fixture
async def world(provider: IdentityProvider) -> AsyncIterator[World]:
    made = World(provider)
    yield made
    await made.store.close()


async def test_no_forgery_is_let_in(world: World) -> None:
    """T19."""
    found = forgeries(world.provider)
    assert len(found) >= 60
    for token in good_tokens(world.provider).values():
        await world.prove(token)
    for _ in range(2):
        for name, token in found.items():
            refused = await world.refusal(token)
            assert refused.reason is Reason.UNAUTHENTICATED, name
            assert refused.cause is not None, name
            segments = [each for each in token.split(".") if len(each) > 8]
            assert not any(each in refused.cause + refused.detail for each in segments), name


async def test_every_good_token_is_let_in(world: World) -> None:
    for name, token in good_tokens(world.provider).items():
        caller = await world.caller(token)
        assert (caller.team, caller.models) == ("search", frozenset({"one"})), name
        assert caller.key_id == f"idp:{caller.user}"


async def test_a_token_is_checked_once_a_minute(world: World) -> None:
    token = world.provider.token(now=world.clock.wall())
    first = await world.prove(token)
    assert await world.prove(token) is first
    world.clock.now += VERIFIED_S + 1
    second = await world.prove(token)
    assert second is not first
    assert second.known is first.known
    assert second == first or second.until_unix_s > first.until_unix_s


async def test_a_known_token_ends_when_it_expires(world: World) -> None:
    token = world.provider.token(exp=int(world.clock.wall()) + 10)
    await world.prove(token)
    world.clock.now += 39
    await world.prove(token)
    world.clock.now += 2
    assert (await world.refusal(token)).cause == "access token: it has expired"


async def test_tokens_that_begin_alike_are_not_confused(world: World) -> None:
    """All tokens of one key have the same first part, and may differ in one character."""
    ada, eve = (world.provider.token(sub=name) for name in ("ada", "eve"))
    assert (await world.caller(ada)).user == "ada"
    assert (await world.caller(eve)).user == "eve"
    changed = ada[:-2] + ("A" if ada[-2] != "A" else "B") + ada[-1]
    await world.refusal(changed)


async def test_random_kids_cause_one_fetch_in_thirty_seconds(own: IdentityProvider) -> None:
    """T20: 10,000 in 10 s, and as many spread over ten minutes; good tokens go on."""
    world, rng = World(own), random.Random(20)
    good = own.token(now=world.clock.wall())
    await world.prove(good)
    world.clock.now += SLOT_S
    before = own.key_fetches
    for count, seconds in ((10_000, 10.0), (2_000, 600.0)):
        begin = world.clock.now
        for _ in range(count):
            world.clock.now += seconds / count
            await world.refusal(
                own.token(header={"kid": f"{rng.getrandbits(64):x}"}, now=world.clock.wall())
                if rng.random() < 0.01
                else _unsigned(own, f"{rng.getrandbits(64):x}", world.clock.wall())
            )
        own_good = _cached(own, world)
        assert (await world.caller(own_good)).user == "ada"
        fetches = own.key_fetches - before
        assert fetches <= 1 + (world.clock.now - begin) / SLOT_S
        before = own.key_fetches
        if count == 10_000:
            assert fetches == 1
    assert len(world.keys._missed) <= MISSED_LIMIT
    await world.store.close()


def _unsigned(provider: IdentityProvider, kid: str, now: float) -> str:
    head = part({"alg": "RS256", "kid": kid, "typ": "JWT"})
    return f"{head}.{part(provider.claims(now))}.{part('x' * 256)}"


def _cached(provider: IdentityProvider, world: World) -> str:
    return provider.token(now=world.clock.wall())


async def test_a_kid_that_was_missing_is_not_asked_for_again_soon(own: IdentityProvider) -> None:
    world = World(own)
    await world.prove(own.token(now=world.clock.wall()))
    token = own.token(header={"kid": "missing"}, now=world.clock.wall(), exp=int(9e9))
    for seconds, fetches in ((31, 2), (31, 2), (200, 2), (70, 3)):
        world.clock.now += seconds
        await world.refusal(token)
        assert own.key_fetches == fetches
    await world.store.close()


async def test_a_new_key_is_taken_up_at_once(own: IdentityProvider) -> None:
    """Also while somebody asks for keys that are not there; and one that is gone counts no more,
    also for tokens that were found good with it."""
    world = World(own)
    old = own.token(now=world.clock.wall())
    await world.prove(old)
    world.clock.now += SLOT_S
    await world.refusal(own.token(header={"kid": "guess"}, now=world.clock.wall()))
    own.keys["next"] = own.keys.pop("rsa")
    own.keys["rsa2"] = own.keys["next"]
    fresh = own.token("next", now=world.clock.wall())
    await world.refusal(fresh)
    world.clock.now += SLOT_S
    assert (await world.caller(fresh)).user == "ada"
    await world.refusal(old)
    await world.store.close()


async def test_a_provider_that_is_away_stops_no_good_token(own: IdentityProvider) -> None:
    """T20: ten minutes and more, tokens new and known, of a set that has grown old."""
    world = World(own)
    await world.prove(own.token(now=world.clock.wall()))
    world.clock.now += STALE_S - 1
    own.stop()
    for _ in range(660):
        world.clock.now += 1
        token = own.token("ed", now=world.clock.wall(), jti=str(world.clock.now))
        assert (await world.caller(token)).user == "ada"
        await asyncio.sleep(0)
    assert world.keys.stale(world.clock())
    own.start()
    world.clock.now += SLOT_S
    await world.prove(own.token("ed", now=world.clock.wall(), jti="last"))
    await _until(lambda: not world.keys.stale(world.clock()))
    await world.store.close()


@pytest.mark.parametrize(
    "fault", ["status", "empty", "no json", "list", "large", "redirect", "bad"]
)
async def test_a_bad_answer_takes_no_key_away(own: IdentityProvider, fault: str) -> None:
    world = World(own)
    await world.prove(own.token(now=world.clock.wall()))
    match fault:
        case "status":
            own.status = 500
        case "empty":
            own.body = b'{"keys":[]}'
        case "no json":
            own.body = b"<html>"
        case "list":
            own.body = b"[]"
        case "large":
            own.body = b'{"keys":[' + b" " * 600_000 + b"]}"
        case "redirect":
            own.status, own.location = 302, f"{own.root}/keys"
        case "bad":
            own.body = json.dumps({"keys": bad_members()[:3]}).encode()
    fetched = len(own.fetched)
    world.clock.now += STALE_S
    for _ in range(3):
        world.clock.now += SLOT_S
        await world.prove(own.token(now=world.clock.wall(), jti=str(world.clock.now)))
        await world.refusal(own.token(header={"kid": "x"}, now=world.clock.wall()))
    assert len(own.fetched) > fetched
    assert not world.keys.empty
    await world.store.close()


@pytest.mark.parametrize("fault", ["issuer", "no url", "file url", "http url", "private url"])
async def test_a_discovery_document_is_not_trusted(own: IdentityProvider, fault: str) -> None:
    found = {"issuer": own.issuer, "jwks_uri": f"{own.root}/keys"}
    match fault:
        case "issuer":
            found["issuer"] = "https://evil.example"
        case "no url":
            del found["jwks_uri"]
        case "file url":
            found["jwks_uri"] = "file:///etc/passwd"
        case "http url":
            found["jwks_uri"] = f"http://127.0.0.1:{own.port}/keys"
        case "private url":
            found["jwks_uri"] = "https://169.254.169.254/latest/meta-data"
    own.body = json.dumps(found).encode()
    world = World(own)
    refused = await world.refusal(own.token(now=world.clock.wall()))
    assert refused.reason is Reason.IDENTITY_UNAVAILABLE
    assert refused.retry_after_s is not None
    assert own.key_fetches == 0
    await world.store.close()


async def test_private_addresses_are_asked_only_where_allowed(
    own: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what allows it."""
    world = World(own, allow_private=False)
    refused = await world.refusal(own.token(now=world.clock.wall()))
    assert refused.reason is Reason.IDENTITY_UNAVAILABLE
    assert own.fetched == []
    causes = [getattr(record, "cause", "") for record in caplog.records]
    assert any("`allow_private: true`" in cause for cause in causes), causes
    await world.store.close()


async def test_a_certificate_that_nobody_vouches_for_is_refused(own: IdentityProvider) -> None:
    world = World(own)
    world.store = KeyStore({}, None, world.clock)
    made = tokens(world.oidc, world.store, world.registered, world.clock.wall)
    assert made is not None
    world.tokens = made
    refused = await world.refusal(own.token(now=world.clock.wall()))
    assert refused.reason is Reason.IDENTITY_UNAVAILABLE
    await world.store.close()


async def test_many_wait_for_one_fetch_and_one_may_leave(own: IdentityProvider) -> None:
    world = World(own)
    made = [own.token(sub=f"user-{i}", now=world.clock.wall()) for i in range(50)]
    waiting = [asyncio.create_task(world.caller(token)) for token in made]
    await asyncio.sleep(0)
    waiting[0].cancel()
    callers = await asyncio.gather(*waiting[1:])
    assert [caller.user for caller in callers] == [f"user-{i}" for i in range(1, 50)]
    assert own.key_fetches == 1
    await world.store.close()


async def test_no_fetch_for_a_token_that_is_no_good_anyway(own: IdentityProvider) -> None:
    world = World(own)
    for change in ({"aud": "other"}, {"exp": 1}, {"iss": "https://evil.example"}):
        await world.refusal(own.token(now=world.clock.wall(), **change))
    await world.refusal(own.token(header={"alg": "PS256"}, now=world.clock.wall()))
    assert own.fetched == []
    await world.store.close()


# --- what claims become

ISSUER: dict[str, Any] = {
    "user_claim": "oid",
    "tenant_claim": "org",
    "tag_claims": {"department": "dept"},
    "required": {"scp": "Models.Use"},
    "grants": [
        {"when": {"roles": ["Admin", "Owner"]}, "team": "platform"},
        {
            "when": {"groups": "g-search", "azp": ["app-1", "app-2"]},
            "team": "search",
            "models": ["one", "two"],
            "regions": ["eu"],
            "tags": {"from": "search", "department": "unknown"},
            "limits": [{"per": "user", "requests": 10}],
            "ip_ranges": ["10.0.0.0/8"],
        },
    ],
}
GOOD: dict[str, Any] = {"oid": "o-1", "org": "acme", "scp": "openid Models.Use", "azp": "app-2"}


async def test_claims_become_a_caller(provider: IdentityProvider) -> None:
    world = World(provider, **ISSUER)
    proof = await world.prove(provider.token(**GOOD, dept="r&d", now=world.clock.wall()))
    caller = proof.known.caller
    assert (caller.key_id, caller.user) == ("idp:o-1", "o-1")
    assert (caller.tenant, caller.team) == ("acme", "search")
    assert caller.models == frozenset({"one", "two"})
    assert caller.regions == frozenset({"eu"})
    assert caller.tags == (("department", "r&d"), ("from", "search"))
    assert [limit.requests for limit in caller.limits] == [10]
    assert proof.known.conditions is not None
    both = await world.prove(provider.token(**GOOD, roles=["Owner"], now=world.clock.wall()))
    assert both.known.caller.team == "platform"
    assert both.known.caller.models is None
    await world.store.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scp": "openid"}, Reason.UNAUTHENTICATED),
        ({"scp": "openid Models.User"}, Reason.UNAUTHENTICATED),
        ({"scp": ...}, Reason.UNAUTHENTICATED),
        ({"oid": ...}, Reason.UNAUTHENTICATED),
        ({"org": "a b"}, Reason.UNAUTHENTICATED),
        ({"org": ...}, Reason.UNAUTHENTICATED),
        ({"dept": "a\nb"}, Reason.UNAUTHENTICATED),
        ({"groups": []}, Reason.ACCESS_NOT_GRANTED),
        ({"groups": ["g-searching"]}, Reason.ACCESS_NOT_GRANTED),
        ({"azp": "app-3"}, Reason.ACCESS_NOT_GRANTED),
        ({"groups": ..., "roles": "Adm"}, Reason.ACCESS_NOT_GRANTED),
    ],
    ids=str,
)
async def test_what_is_not_granted(
    provider: IdentityProvider, changes: dict[str, Any], reason: Reason
) -> None:
    world = World(provider, **ISSUER)
    token = provider.token(**(GOOD | changes), now=world.clock.wall())
    assert (await world.refusal(token)).reason is reason
    await world.store.close()


@pytest.mark.parametrize(
    ("claims", "team"),
    [
        ({"realm_access": {"roles": ["user", "ops"]}}, "platform"),
        ({"realm_access.roles": ["ops"]}, "platform"),
        ({"realm_access": {"roles": ["user"]}}, None),
        ({"realm_access.roles": ["user"], "realm_access": {"roles": ["ops"]}}, None),
        ({"realm_access": ["ops"]}, None),
        ({"realm_access": None}, None),
        ({"resource_access": {"shop.app": {"roles": ["buyer"]}}}, "shop"),
        ({"resource_access": {"shop": {"roles": ["buyer"]}}}, None),
    ],
    ids=str,
)
async def test_claims_within_claims(
    provider: IdentityProvider, claims: dict[str, Any], team: str | None
) -> None:
    """As Keycloak writes roles. A claim of the very name counts before them."""
    grants = [
        {"when": {"realm_access.roles": "ops"}, "team": "platform"},
        {"when": {"resource_access.shop.app.roles": "buyer"}, "team": "shop"},
    ]
    world = World(provider, grants=grants, tag_claims={"unit": "org.unit"})
    token = provider.token(**claims, org={"unit": "x"}, now=world.clock.wall())
    if team is None:
        assert (await world.refusal(token)).reason is Reason.ACCESS_NOT_GRANTED
    else:
        caller = await world.caller(token)
        assert (caller.team, caller.tags) == (team, (("unit", "x"),))
    await world.store.close()


async def test_what_holds_for_a_team_holds_for_its_tokens(provider: IdentityProvider) -> None:
    """At once, also for a token that was found good before."""
    world = World(provider)
    token = provider.token(now=world.clock.wall())
    assert (await world.caller(token)).models == frozenset({"one"})
    units = [
        UnitRecord(
            kind="team",
            name="search",
            tenant="default",
            models=["one", "two"],
            limits=[LimitRule(per="team", requests=5)],
        ),
        UnitRecord(kind="tenant", name="default", tenant="default", models=["two"]),
        UnitRecord(kind="user", name="ada", tenant="default", suspended=True),
    ]
    for revision, unit in enumerate(units, 1):
        world.registered.take([row_of(unit, revision)])
    known = (await world.prove(token)).known
    assert known.caller.models == frozenset()
    ((whose, limit),) = known.caller.shared_limits
    assert (whose, limit.requests) == ("team:default/search", 5)
    assert world.registered.bounded
    assert known.conditions is not None
    with pytest.raises(Refused, match="The user that this API key or token belongs to"):
        known.conditions.check(world.clock.wall(), "192.0.2.1")
    other = (await world.prove(provider.token(sub="eve", now=world.clock.wall()))).known
    assert other.conditions is None
    await world.store.close()


DIRECTORY = "8f0e7a1c-3b5d-4c1e-9a57-0d6c2f4b1e88"


def test_entra_tokens_must_be_of_the_directory(provider: IdentityProvider) -> None:
    for issuer in (
        f"https://login.microsoftonline.com/{DIRECTORY}/v2.0",
        f"https://sts.windows.net/{DIRECTORY}/",
    ):
        world = World(provider, issuer=issuer)
        rules = world.tokens._issuers[issuer].rules
        good = provider.claims(iss=issuer, tid=DIRECTORY)
        check_claims(good, rules, time.time())
        for tid in (..., None, "", DIRECTORY.upper(), [DIRECTORY], DIRECTORY.replace("8", "9")):
            bad = {k: v for k, v in (good | {"tid": tid}).items() if v is not ...}
            with pytest.raises(Rejected, match="directory"):
                check_claims(bad, rules, time.time())


@pytest.mark.parametrize(
    ("typ", "fits"),
    [
        ("at+jwt", True),
        ("AT+JWT", True),
        ("application/at+jwt", True),
        ("JWT", False),
        ("at+jwt ", False),
        (..., False),
        (None, False),
        (["at+jwt"], False),
    ],
    ids=str,
)
def test_the_type_of_token(provider: IdentityProvider, typ: object, fits: bool) -> None:
    rules = Rules("x", frozenset(), frozenset({"RS256"}), token_type="at+jwt")
    parsed = parse(provider.token(header={"typ": typ}).encode())
    if fits:
        check_header(parsed, rules)
    else:
        with pytest.raises(Rejected, match="typ"):
            check_header(parsed, rules)


def test_keys_of_a_set(provider: IdentityProvider) -> None:
    found = Jose().keys(provider.key_set())
    usable = {key.kid for key in found if any(map(key.fits, ("RS256", "ES256", "EdDSA")))}
    assert usable == {"rsa", "ec", "ed"}
    for junk in (b"", b"[]", b"null", b'{"keys":1}', b'{"keys":[1]}', b"\xff"):
        with pytest.raises(ValueError, match="no JWKS"):
            Jose().keys(junk)
    many = json.dumps({"keys": [{"kty": "RSA"}] * 1000}).encode()
    assert Jose().keys(many) == []


def test_nothing_shows_a_token(provider: IdentityProvider) -> None:
    token = provider.token()
    assert repr(parse(token.encode())) == "Parsed()"


async def _until(true: Any, patience_s: float = 20.0) -> None:
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.01)
