"""Templates and bundled files. Everything that is put into a page is escaped."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from headrace.console import charts
from headrace.console.figures import FILTERS
from headrace.console.page import BASE

MEDIA = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Asset(Struct, frozen=True):
    """A bundled file. `tag` changes with what is in it."""

    content: bytes
    media: str
    tag: str


class Assets:
    """All files of `static/`, read once."""

    def __init__(self) -> None:
        self._known: dict[str, Asset] = {}
        for file in resources.files("headrace.console").joinpath("static").iterdir():
            kind = file.name.rpartition(".")[2]
            if kind in MEDIA:
                content = file.read_bytes()
                tag = hashlib.sha256(content).hexdigest()[:16]
                self._known[file.name] = Asset(content, f"{MEDIA[kind]}; charset=utf-8", tag)

    def url(self, name: str) -> str:
        """Another one when the file is another."""
        return f"{BASE}/static/{name}?{self._known[name].tag}"

    async def serve(self, request: Request) -> Response:
        asset = self._known.get(request.path_params["name"])
        if asset is None:
            return Response("There is no such file.", 404, media_type="text/plain")
        fresh = request.url.query == asset.tag
        headers = {"cache-control": "max-age=31536000, immutable" if fresh else "no-cache"}
        return Response(asset.content, 200, headers, asset.media)


class Templates:
    """Those of `templates/`."""

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=PackageLoader("headrace.console", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(base=BASE, asset=assets.url, meter=charts.meter)

    def prepare(self, names: Sequence[str]) -> None:
        """Compiles them before they are rendered for the first time, which takes 10 ms or more of
        CPU for each."""
        for name in names:
            self._environment.get_template(name)

    def render(self, name: str, /, **context: Any) -> str:
        return self._environment.get_template(name).render(context)
