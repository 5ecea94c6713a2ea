"""A backend's operations that are passed on as they came: images, sound, ranks, verdicts, files.

https://platform.openai.com/docs/api-reference, https://docs.cohere.com/reference/rerank. Of a body
only the model's name is replaced: the member of a JSON object, the field of a form. Cannot express:
nothing, for nothing is translated; whether the provider has the model it must know itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from headrace.nouns import Call, Operation, Passed
from headrace.platform.http.messages import Origin, WireRequest, encode_head
from headrace.services import openai_wire, passed_wire
from headrace.services.openai import USER_AGENT
from headrace.services.service import Service, StreamReader, WholeRead

PATHS: Mapping[Operation, str] = MappingProxyType(
    {
        Operation.IMAGE_GENERATIONS: "/images/generations",
        Operation.IMAGE_EDITS: "/images/edits",
        Operation.IMAGE_VARIATIONS: "/images/variations",
        Operation.SPEECH: "/audio/speech",
        Operation.TRANSCRIPTIONS: "/audio/transcriptions",
        Operation.TRANSLATIONS: "/audio/translations",
        Operation.RERANK: "/rerank",
        Operation.MODERATIONS: "/moderations",
        Operation.FILES: "/files",
        Operation.REALTIME: "/realtime",
        Operation.RESPONSE: "/responses",
    }
)
BETA = b"realtime=v1"
"""Clients of the API before it was settled ask for its older events so."""
_NO_BODY = (b"GET", b"DELETE")


class SessionRequest(Struct, frozen=True, gc=False):
    """How a session is asked for. `headers` hold a credential and are not shown."""

    origin: Origin
    url: str
    headers: list[tuple[bytes, bytes]]

    def __repr__(self) -> str:
        return f"SessionRequest({self.origin.authority})"


class PassedOnService(Service):
    """One base URL. `headers` may hold a credential; they are not shown."""

    def __init__(
        self,
        *,
        origin: Origin,
        paths: Mapping[Operation, str],
        headers: list[tuple[bytes, bytes]],
        model: str | None,
        provider: str,
        priced_as: str | None,
        query: str = "",
        named_by_path: bool = False,
    ) -> None:
        """`paths` are whole, but for `query`, which stands behind all of them. `named_by_path`: the
        path names the model (a deployment of Azure's), so bodies go as they came."""
        self.provider = provider
        self.priced_as = priced_as or model
        self._origin = origin
        self._paths = dict(paths)
        self._headers = [
            (b"Host", origin.authority.encode()),
            (b"User-Agent", USER_AGENT),
            (b"Accept", b"*/*"),
            (b"Accept-Encoding", b"identity"),
            *headers,
        ]
        self._own = [(b"User-Agent", USER_AGENT), *headers]
        self._model = model
        self._query = query
        self._named_by_path = named_by_path

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._origin.authority})"

    def serves(self, operation: Operation) -> bool:
        return operation in self._paths

    def request(self, call: Call) -> WireRequest:
        passed = call.passed
        assert passed is not None, "it is made with every such call"
        target = self._paths[call.operation] + passed.resource + self._query
        headers = [*self._headers, (b"x-request-id", call.id.encode())]
        if passed.method in _NO_BODY:
            return WireRequest(
                self._origin, encode_head(passed.method, target.encode(), headers), b""
            )
        headers.append((b"Content-Type", passed.content_type))
        head = encode_head(passed.method, target.encode(), headers)
        return WireRequest(self._origin, head, self._body(call, passed))

    def session(self, call: Call, query: Mapping[str, str]) -> SessionRequest:
        """Of a WebSocket; `query` are members of the client's that go up."""
        name = "deployment" if self._named_by_path else "model"
        members = {**query, name: self._model or call.model}
        start = f"{self._query}&" if self._query else "?"
        scheme = "wss" if self._origin.scheme == "https" else "ws"
        place = f"{scheme}://{self._origin.authority}{self._paths[Operation.REALTIME]}"
        headers = [*self._own, (b"x-request-id", call.id.encode())]
        beta = next((value for key, value in call.headers if key == b"openai-beta"), None)
        if beta == BETA:
            headers.append((b"OpenAI-Beta", BETA))
        return SessionRequest(self._origin, place + start + urlencode(members), headers)

    def _body(self, call: Call, passed: Passed) -> bytes:
        name = self._name(call)
        if not passed.form_start:
            members = openai_wire.members_of(call.body)
            if name is not None:
                members["model"] = msgspec.Raw(msgspec.json.encode(name))
            return openai_wire.written(members)
        if name is None:
            return call.body
        if passed.model_at is not None:
            start, end = passed.model_at
            return b"".join((call.body[:start], name.encode(), call.body[end:]))
        field = b'%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n'
        return field % (passed.form_start, name.encode()) + call.body

    def _name(self, call: Call) -> str | None:
        """The provider's name of the model; None where the body has it or needs none."""
        if self._named_by_path or call.operation is Operation.FILES:
            return None
        if self._model is not None:
            return self._model
        return None if call.body_model == call.model else call.model

    def stream_reader(self, call: Call) -> StreamReader:
        raw = call.passed is not None and call.passed.raw
        return passed_wire.RawReader(call) if raw else passed_wire.PassedEvents(call)

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        return passed_wire.read_whole(call, body)
