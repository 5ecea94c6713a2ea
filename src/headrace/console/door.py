"""Signing in and out, and who comes with a request."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from headrace.console.forms import CSRF_FIELD, check_origin, read_form
from headrace.console.page import BASE, Visit
from headrace.console.sessions import LONGEST_S, Sessions
from headrace.console.templating import Templates
from headrace.console.vouching import Vouched
from headrace.edge.admin.answers import STATUS
from headrace.edge.admin.app import address_of, request_id_of
from headrace.edge.admin.asked import Refusal
from headrace.edge.admin.entrance import Entrance
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Grant
from headrace.platform.secrets import Secret

SESSION_COOKIE = "headrace_session"
FORM_COOKIE = "headrace_form"
"""What the form for signing in must repeat: nobody is signed in by another site's form."""
FIRST_PAGE = ("layout.html", "charts.html", "icons.html", "overview.html", "overview_live.html")


class Door:
    """Sessions begin and end here."""

    def __init__(
        self, entrance: Entrance, templates: Templates, providers: Sequence[str] = ()
    ) -> None:
        """`providers` are names of identity providers that people may sign in with."""
        self._entrance = entrance
        self._templates = templates
        self._providers = providers
        self._sessions = Sessions()

    async def visit(self, request: Request, form: Mapping[str, str]) -> Visit | None:
        """Who is signed in, proved anew; None if nobody is any more. Raises Denied(FORBIDDEN,
        UNAVAILABLE)."""
        token = session_token(request)
        session = self._sessions.find(token)
        if session is None:
            return None
        try:
            by = await self._proved(session.proof, address_of(request))
        except Denied as denied:
            if denied.why is Why.UNAUTHENTICATED:
                self._sessions.end(token)
                return None
            raise
        return Visit(self._entrance, request, session, by, request_id_of(request), form)

    async def _proved(self, proof: Secret | Vouched, ip: str) -> Grant:
        """Raises Denied. A refusal is told to the audit log."""
        if isinstance(proof, Secret):
            return await self._entrance.prove(proof.reveal(), ip)
        try:
            return await proof.prove(ip)
        except Denied as denied:
            why = denied.detail if denied.__cause__ is None else f"token: {denied.__cause__}"
            await self._entrance.tell_refused(ip, why)
            raise

    async def show(self, request: Request) -> Response:
        try:
            visit = await self.visit(request, {})
        except Denied as denied:
            return self.form(request, STATUS[denied.why], denied.detail)
        if visit is not None:
            return RedirectResponse(way_back(request.query_params.get("next")), 303)
        return self.form(request, 200, None)

    async def sign_in(self, request: Request) -> Response:
        try:
            check_origin(request)
            form = await read_form(request)
            known, said = request.cookies.get(FORM_COOKIE, ""), form.get(CSRF_FIELD, "")
            if not known or not hmac.compare_digest(known.encode(), said.encode()):
                raise Refusal(403, "stale_form", "This page was open for too long. Try once more.")
            credential = form.get("credential", "").strip()
            if not credential:
                raise Refusal(400, "no_key", "Give your admin key, which begins with `hra_`.")
            self._tell(await self._entrance.prove(credential, address_of(request)))
        except Refusal as refusal:
            return self.form(request, refusal.status, refusal.message)
        except Denied as denied:
            return self.form(request, STATUS[denied.why], denied.detail)
        response = RedirectResponse(way_back(form.get("next")), 303)
        self._begin(request, response, Secret(credential), LONGEST_S)
        response.delete_cookie(FORM_COOKIE, path=BASE)
        return response

    def begin(self, request: Request, response: Response, by: Vouched, lasts_s: float) -> None:
        """A session of somebody for whom an identity provider spoke; its cookie goes with the
        response. Raises Denied(UNAVAILABLE) if the audit log cannot be written."""
        self._tell(by.grant)
        self._begin(request, response, by, lasts_s)

    def _tell(self, by: Grant) -> None:
        self._entrance.parts.desk.tell(by, "console.sign_in", by.actor, None, {})

    def _begin(
        self, request: Request, response: Response, proof: Secret | Vouched, lasts_s: float
    ) -> None:
        self._sessions.end(session_token(request))
        token = self._sessions.begin(proof, lasts_s)
        set_cookie(request, response, SESSION_COOKIE, token)

    def sign_out(self, visit: Visit) -> Response:
        self._sessions.end(session_token(visit.request))
        response = RedirectResponse(f"{BASE}/sign-in", 303)
        response.delete_cookie(SESSION_COOKIE, path=BASE)
        return response

    def form(self, request: Request, status: int, fault: str | None) -> Response:
        token = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
        request_id = request_id_of(request)
        text = self._templates.render(
            "sign_in.html",
            csrf=token,
            fault=fault,
            request_id=request_id,
            next=request.query_params.get("next", ""),
            providers=self._providers,
        )
        # While somebody types, what the first page is made of is compiled.
        then = BackgroundTask(self._templates.prepare, FIRST_PAGE)
        response = HTMLResponse(text, status, {"x-request-id": request_id}, background=then)
        set_cookie(request, response, FORM_COOKIE, token)
        return response


def session_token(request: Request) -> str | None:
    return request.cookies.get(SESSION_COOKIE)


def set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    response.set_cookie(
        name,
        value,
        max_age=int(LONGEST_S),
        path=BASE,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def way_back(wanted: str | None) -> str:
    """Only to a page of the console."""
    parts = urlsplit(wanted or "")
    if parts.scheme or parts.netloc or not parts.path.startswith(f"{BASE}/"):
        return f"{BASE}/"
    if parts.path.startswith(f"{BASE}/sign-"):
        return f"{BASE}/"
    return parts.path + (f"?{parts.query}" if parts.query else "")
