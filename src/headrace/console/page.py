"""What a page is, and who looks at it. `table.py` lists them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from headrace.console.sessions import Session
from headrace.edge.admin.entrance import Entrance
from headrace.gateway.administration.faults import Denied
from headrace.gateway.administration.grants import Grant

BASE = "/console"
"""Where the pages are on the admin port."""


class Visit:
    """One request of somebody who is signed in."""

    def __init__(
        self,
        entrance: Entrance,
        request: Request,
        session: Session,
        by: Grant,
        request_id: str,
        form: Mapping[str, str],
    ) -> None:
        """`form` is what a POST brought; empty for a GET."""
        self.request = request
        self.session = session
        self.by = by
        self.request_id = request_id
        self.form = form
        self.path: Mapping[str, str] = request.path_params
        self.query: Mapping[str, str] = {
            name: value for name, value in request.query_params.items() if value
        }
        """What stands behind the `?` and is not empty."""
        self._entrance = entrance

    @property
    def entrance(self) -> Entrance:
        return self._entrance

    def may(self, *names: str) -> bool:
        """Whether routes of the admin API, by their names in its table, are open to this person."""
        try:
            for name in names:
                self._entrance.admit(self._entrance.routes[name], self.by, {})
        except Denied:
            return False
        return True

    async def ask(
        self,
        name: str,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Any:
        """What that route of the admin API answers this person: with its checks, and its rows in
        the audit log. Raises Denied, Refusal."""
        return await self._entrance.ask(name, self.by, path, query, body)


class Done(Struct, frozen=True):
    """An action was done: go on at `path`, below `BASE`, and say so there."""

    path: str
    notice: str | None = None


Shown = Mapping[str, Any] | Response


class Action(Struct, frozen=True, kw_only=True):
    """What a form of a page posts to. `act` gives where to go on, or what its page is to show
    instead, such as a secret that is told once. It raises Denied, Refusal."""

    path: str
    needs: tuple[str, ...]
    """Routes of the admin API that must be open to who does this."""
    act: Callable[[Visit], Awaitable[Done | Shown]]


class Page(Struct, frozen=True, kw_only=True):
    """`show` gives what its template needs, or a whole response. It raises Denied, Refusal. Where
    what was searched for is wrong, `fault` says so above the page, whose form keeps it."""

    path: str
    """Below `BASE`; with `{name}` for what is in `Visit.path`."""
    title: str
    template: str
    needs: tuple[str, ...]
    """Routes of the admin API that must be open to who sees this."""
    show: Callable[[Visit], Awaitable[Shown]]
    actions: Sequence[Action] = ()
    group: str | None = None
    """Under which heading it is in the navigation; None leaves it out."""
    icon: str = "dot"
    """One of those in `templates/icons.html`."""
