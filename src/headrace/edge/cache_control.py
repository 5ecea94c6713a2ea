"""The part of an operator's socket that speaks of the cache: see `edge/control.py`.

`GET /cache`, `GET /cache/misses`, `GET /cache/tuning`, `GET /cache/calls/ID`,
`POST /cache/judge`, `POST /cache/purge`, `POST /cache/feedback`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from headrace.gateway.cache import explaining, flagging, operating
from headrace.gateway.cache.given_again import GivenAgain
from headrace.gateway.cache.operating import Purge
from headrace.gateway.parts import Parts

ROOT = "/cache"
_CALLS = "/cache/calls/"
OFF = {"error": "no model of this gateway has its answers given again"}


class Texts(Struct, frozen=True, forbid_unknown_fields=True):
    """Two questions to be judged."""

    asked: str
    kept: str


class Verdict(Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator says of the kept answer that a call was given."""

    call: str
    right: bool


async def answer(parts: Parts, method: bytes, path: str, body: bytes) -> tuple[int, Any]:
    """Status and answer."""
    cache = parts.cache
    if cache is None:
        return 404, OFF
    try:
        if method == b"POST":
            return await _posted(parts, cache, path, body)
    except msgspec.DecodeError as error:
        return 400, {"error": str(error)}
    return _got(cache, path) if method == b"GET" else (404, {"error": "nothing is there"})


def _got(cache: GivenAgain, path: str) -> tuple[int, Any]:
    if path == ROOT:
        return 200, operating.stats(cache)
    if path == "/cache/misses":
        return 200, operating.nearest_misses(cache)
    if path == "/cache/tuning":
        return 200, operating.tuning(cache.decisions)
    decision = cache.decisions.of(path.removeprefix(_CALLS)) if path.startswith(_CALLS) else None
    if decision is None:
        return 404, {"error": "no decision of the cache is remembered for this"}
    return 200, explaining.told(decision)


async def _posted(parts: Parts, cache: GivenAgain, path: str, body: bytes) -> tuple[int, Any]:
    if path == "/cache/purge":
        wish = msgspec.json.decode(body, type=Purge)
        return 200, {"purged": operating.purged(cache, wish) + _kept_for_faults(parts, wish)}
    if path == "/cache/judge":
        texts = msgspec.json.decode(body, type=Texts)
        cosine = await cache.cosine(texts.asked, texts.kept)
        if cosine is None:
            return 404, {"error": "no embeddings: no model has `cache.answers: semantic`"}
        return 200, explaining.of_texts(texts.asked, texts.kept, cosine)
    if path == "/cache/feedback":
        said = msgspec.json.decode(body, type=Verdict)
        if cache.decisions.of(said.call) is None:
            return 404, {"error": "no decision of the cache is remembered for this"}
        return 200, {"noted": await flagging.flag(cache, said.call, right=said.right, tenant=None)}
    return 404, {"error": "nothing is there"}


def _kept_for_faults(parts: Parts, wish: Purge) -> int:
    """Answers for the day when no backend can give one: they know their tenants alone, so that a
    whole tenant's go with it, and all with all."""
    if wish.tag is not None or wish.call is not None:
        return 0
    if wish.partition is None:
        return parts.answers.purge(None)
    kind, _, tenant = wish.partition.partition("/")
    return parts.answers.purge(tenant) if kind == "tenant" else 0
