"""Which operations that are passed on as they came a provider's API has."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from headrace.config.backends import (
    AnyBackend,
    AzureOpenAIBackend,
    CohereBackend,
    MistralBackend,
    OpenAIBackend,
    VllmBackend,
)
from headrace.nouns import PASSED_ON, Operation

_NAMED = PASSED_ON - {Operation.RESPONSE}
"""A backend that has the Responses API has that of each, too."""
_NOT_OF_AZURE = {Operation.RERANK, Operation.MODERATIONS, Operation.IMAGE_VARIATIONS}
_HAVE: Mapping[type, frozenset[Operation]] = MappingProxyType(
    {
        OpenAIBackend: _NAMED,
        AzureOpenAIBackend: _NAMED - _NOT_OF_AZURE,
        CohereBackend: frozenset({Operation.RERANK}),
        MistralBackend: frozenset(
            {Operation.TRANSCRIPTIONS, Operation.MODERATIONS, Operation.FILES}
        ),
        VllmBackend: frozenset(
            {Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS, Operation.RERANK}
        ),
    }
)


def of_its_api(backend: AnyBackend) -> frozenset[Operation]:
    """What it can be asked for, at most."""
    return _HAVE.get(type(backend), frozenset())


def foreign(backend: AnyBackend) -> list[str]:
    """Operations that are named for it and that its API does not have."""
    named = getattr(backend, "operations", None) or ()
    return [name for name in named if name in PASSED_ON and name not in of_its_api(backend)]
