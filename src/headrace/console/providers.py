"""Signing in with an identity provider: a browser goes there and comes back.

What it must come back with lies in a cookie of its own, sealed by this process. That one is
`SameSite=Lax`, for a browser that another site sends here brings no strict cookie. Nor does it to
where a redirect leads from there: the session's cookie, which is strict, is first sent by the page
that says one is signed in, and that page goes on by itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from headrace.console.door import Door, way_back
from headrace.console.page import BASE
from headrace.console.templating import Templates
from headrace.console.vouching import Vouched
from headrace.edge.admin.answers import STATUS
from headrace.edge.admin.app import address_of, request_id_of
from headrace.edge.admin.asked import Refusal
from headrace.edge.admin.entrance import Entrance
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.sign_in import SignIn
from headrace.platform.oidc.code_flow import Flow

log = logging.getLogger("headrace.console")

FLOW_COOKIE = "headrace_sign_in"
PATH = f"{BASE}/sign-in"
FLOW_S = 600.0
"""So long may somebody take at the provider."""
WAY_LIMIT = 1024


class _Begun(Struct, frozen=True):
    """A sign-in that is under way."""

    provider: str
    flow: Flow
    redirect_url: str
    way_back: str
    ends: float
    """Monotonic seconds."""


class Providers:
    """For the loop's thread."""

    def __init__(
        self,
        entrance: Entrance,
        door: Door,
        templates: Templates,
        sign_ins: Mapping[str, SignIn],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entrance = entrance
        self._door = door
        self._templates = templates
        self._sign_ins = sign_ins
        self._clock = clock
        self._seal = secrets.token_bytes(32)

    def routes(self) -> Sequence[Route]:
        return (
            Route("/sign-in/with/{provider:path}", self.begin, methods=["GET"]),
            Route("/sign-in/back", self.back, methods=["GET"]),
        )

    async def begin(self, request: Request) -> Response:
        """Sends the browser to the provider."""
        sign_in = self._sign_ins.get(request.path_params["provider"])
        if sign_in is None:
            return self._door.form(request, 404, "Nobody signs in with a provider of that name.")
        back = sign_in.terms.redirect_url or f"{_origin(request)}{PATH}/back"
        try:
            url, flow = await sign_in.begin(back)
        except Denied as denied:
            self._tell(request, sign_in.name, denied)
            return self._door.form(request, STATUS[denied.why], denied.detail)
        wanted = way_back(request.query_params.get("next"))
        wanted = wanted if len(wanted) <= WAY_LIMIT else f"{BASE}/"
        begun = _Begun(sign_in.name, flow, back, wanted, self._clock() + FLOW_S)
        response = RedirectResponse(url, 303)
        response.set_cookie(
            FLOW_COOKIE,
            self._sealed(begun),
            max_age=int(FLOW_S),
            path=PATH,
            secure=request.url.scheme == "https" or back.startswith("https:"),
            httponly=True,
            samesite="lax",
        )
        return response

    async def back(self, request: Request) -> Response:
        """Takes up the browser that comes from the provider."""
        try:
            response = await self._signed_in(request)
        except Refusal as refusal:
            response = self._door.form(request, refusal.status, refusal.message)
        except Denied as denied:
            response = self._door.form(request, STATUS[denied.why], denied.detail)
        response.delete_cookie(FLOW_COOKIE, path=PATH)
        return response

    async def _signed_in(self, request: Request) -> Response:
        """Raises Refusal, Denied."""
        begun = self._opened(request.cookies.get(FLOW_COOKIE, ""))
        if begun is None:
            raise Refusal(
                400, "stale_sign_in",
                "This sign-in was not begun in this browser, or too long ago. Try once more.",
            )  # fmt: skip
        sign_in, ip = self._sign_ins[begun.provider], address_of(request)
        try:
            answer = dict(request.query_params)
            came = await sign_in.finish(answer, begun.flow, begun.redirect_url, ip)
        except Denied as denied:
            self._tell(request, sign_in.name, denied)
            if denied.why is not Why.UNAVAILABLE:
                why = denied.detail if denied.__cause__ is None else f"token: {denied.__cause__}"
                await self._entrance.tell_refused(ip, why)
            raise
        request_id = request_id_of(request)
        text = self._templates.render("signed_in.html", to=begun.way_back)
        response = HTMLResponse(text, 200, {"x-request-id": request_id})
        self._door.begin(request, response, Vouched(sign_in, came), sign_in.terms.session_s)
        return response

    def _tell(self, request: Request, provider: str, denied: Denied) -> None:
        cause = denied.detail if denied.__cause__ is None else str(denied.__cause__)
        log.warning(
            "nobody was signed in",
            extra={"call": request_id_of(request), "provider": provider, "cause": cause},
        )

    def _sealed(self, begun: _Begun) -> str:
        data = base64.urlsafe_b64encode(msgspec.json.encode(begun)).rstrip(b"=")
        return f"{data.decode()}.{self._mark(data)}"

    def _opened(self, text: str) -> _Begun | None:
        """None if it is not ours, or too old."""
        part, _, mark = text.partition(".")
        data = part.encode("utf-8", "replace")
        if not hmac.compare_digest(self._mark(data).encode(), mark.encode("utf-8", "replace")):
            return None
        padding = b"=" * (-len(data) % 4)
        begun = msgspec.json.decode(base64.urlsafe_b64decode(data + padding), type=_Begun)
        return begun if self._clock() < begun.ends else None

    def _mark(self, data: bytes) -> str:
        return hmac.new(self._seal, data, hashlib.sha256).hexdigest()


def _origin(request: Request) -> str:
    """As the browser called; `check_host` has seen that it is one of ours."""
    return f"{request.url.scheme}://{request.headers['host']}"
