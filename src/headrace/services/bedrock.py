"""AWS Bedrock: Converse and ConverseStream, for all models that have them.

https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference.html. Chats go by way of
the neutral form: `dialects/bedrock_asking.py` says what of them cannot be expressed,
`dialects/bedrock_answering.py` how answers are read, `aws_event_stream.py` how streams are framed.
Cannot express: completions, embeddings (each model family has its own), counts of tokens.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from headrace.nouns import Call
from headrace.platform.http.messages import Origin, WireRequest
from headrace.services.aws_signing import Sign
from headrace.services.dialects import bedrock_answering, bedrock_asking
from headrace.services.dialects.neutral import Answered, Asked
from headrace.services.dialects.omissions import Omissions, Policy
from headrace.services.dialects.one_call import OwnEvents
from headrace.services.interpreted import InterpretedService

_encode = msgspec.json.Encoder().encode


def bearing(api_key: bytes) -> Sign:
    """The headers for an API key of Bedrock:
    https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html"""
    headers = [(b"Authorization", b"Bearer " + api_key)]
    return lambda url, body: headers


class BedrockService(InterpretedService):
    """One endpoint of a region. `sign` holds a credential; it is not shown."""

    whose = "Bedrock's Converse API"

    def __init__(
        self,
        *,
        origin: Origin,
        path: str,
        sign: Sign,
        model: str | None,
        provider: str,
        priced_as: str | None,
        policy: Policy,
    ) -> None:
        super().__init__(
            origin=origin,
            path=path,
            model=model,
            provider=provider,
            priced_as=priced_as,
            policy=policy,
        )
        self._sign = sign

    def _asking(self, asked: Asked, call: Call, lost: Omissions) -> WireRequest:
        model = self._name(call)
        body = _encode(bedrock_asking.written(asked, model, lost))
        method = "converse-stream" if call.stream else "converse"
        target = f"/model/{quote(model, safe='')}/{method}"
        base = f"{self._origin.scheme}://{self._origin.authority}{self._path}"
        return self._post(call, target, self._sign(base + target, body), body)

    def _answered(self, call: Call, body: bytes) -> Answered | bytes:
        return bedrock_answering.read(body, call.id, self._name(call))

    def _events(self, call: Call) -> OwnEvents:
        return bedrock_answering.BedrockEvents(call.id, self._name(call))
