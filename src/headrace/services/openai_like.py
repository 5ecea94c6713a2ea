"""Servers that speak OpenAI's API with a list of members of their own.

What passes through does so byte for byte, as in `services/openai.py`; members that the server does
not take are refused or named in the header, for servers of this kind either fail at them or ignore
them in silence.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import Origin, WireRequest
from headrace.services import openai_wire
from headrace.services.dialects.omissions import Omissions, Policy
from headrace.services.openai import OpenAIService

_SILENT = (b"null", b"[]", b"{}", b"false")
"""Values that say nothing where a member is not taken."""


class OpenAILikeService(OpenAIService):
    """A subclass says what the server takes: `taken`, and what it calls by another name:
    `renamed`."""

    whose = ""
    taken: Mapping[Operation, frozenset[str]] = {}
    renamed: Mapping[str, str] = {}
    asks_for_usage = True
    """The server takes `stream_options`; others tell their usage unasked."""

    def __init__(
        self,
        *,
        origin: Origin,
        path: str,
        headers: list[tuple[bytes, bytes]],
        model: str | None,
        provider: str,
        priced_as: str | None,
        operations: frozenset[Operation],
        policy: Policy,
    ) -> None:
        super().__init__(
            origin=origin,
            path=path,
            headers=headers,
            model=model,
            provider=provider,
            priced_as=priced_as,
            operations=operations,
        )
        self._policy: Policy = policy

    def request(self, call: Call) -> WireRequest:
        lost = Omissions(self._policy, self.whose)
        members = self._fitted(openai_wire.members_of(call.body), call, lost)
        name = self._name(call)
        if name is not None:
            members["model"] = name
        asked = members.pop("stream_options", None)
        if call.stream and self.asks_for_usage:
            members["stream_options"] = openai_wire.asking_for_usage(asked)
        head = b"%bx-request-id: %b\r\n" % (self._heads[call.operation], call.id.encode())
        return WireRequest(self._origin, head, openai_wire.written(members), lost.headers())

    def _fitted(
        self, members: openai_wire.Members, call: Call, lost: Omissions
    ) -> openai_wire.Members:
        """The members that go up. Raises Refused."""
        taken = self.taken[call.operation]
        fitted: dict[str, Raw] = {}
        for name, value in members.items():
            own = self.renamed.get(name, name)
            if own in taken:
                if own == name or own not in members:
                    fitted[own] = value
            elif bytes(value) not in _SILENT:
                self._without(name, value, lost)
        return fitted

    def _without(self, name: str, value: Raw, lost: Omissions) -> None:
        """A member that the server does not take. Raises Refused."""
        lost.lose(name)
