"""What outlives a configuration: one of each for a worker's life."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from headrace.data.file_store import FileStore
from headrace.data.response_store import ResponseStore
from headrace.gateway.answer_cache import AnswerCache
from headrace.gateway.attempt import Unfinished
from headrace.gateway.fleet import Fleet
from headrace.gateway.limits.counters import Counters
from headrace.gateway.limits.token_counting import ExactCounter
from headrace.gateway.metering import Metering
from headrace.gateway.prices import PriceBook
from headrace.gateway.sharing import Sharing
from headrace.gateway.shedding import Shedder
from headrace.gateway.stories import Stories
from headrace.gateway.telemetry.observer import Observer
from headrace.platform.http.messages import Origin, Transport

if TYPE_CHECKING:
    from headrace.compiled._steps import Steps
    from headrace.data.feedback_file import FeedbackRows
    from headrace.gateway.cache.given_again import GivenAgain
    from headrace.gateway.cache.learning import Exchange
    from headrace.gateway.cache.shelf import Shelf


Dial = Callable[[Origin, asyncio.Protocol, float], Awaitable[None]]
"""Connects a protocol to an origin within so many seconds. Raises TransportError."""


class Parts(Struct):
    """Shared by the pipelines of all configurations of one worker."""

    fleet: Fleet
    metering: Metering
    prices: PriceBook
    wire: Transport
    sharing: Sharing
    shedder: Shedder
    answers: AnswerCache
    stories: Stories
    counters: Counters[Any]
    prompts: ExactCounter | None
    """None estimates them."""
    steps: Steps | None = None
    """Those in C; None takes all in Python."""
    responses: ResponseStore | None = None
    """Of the Responses API; None keeps none."""
    files: FileStore | None = None
    """Whose the uploaded files are."""
    dial: Dial | None = None
    """For what is no HTTP: sessions over WebSockets."""
    observer: Observer | None = None
    """Who measures; None if nobody wants to know."""
    unfinished: Unfinished = field(default_factory=Unfinished)
    """Large events of all streams."""
    cache: GivenAgain | None = None
    """Answers given again; None until a configuration has it on."""
    shelf: Shelf | None = None
    """Where replicas share its answers; None if they do not."""
    feedback: Exchange | None = None
    """By which replicas tell each other what was said of them; None if they do not."""
    feedback_rows: FeedbackRows | None = None
    """Where they keep it together; None if each host has a file of its own."""
    store: Path | None = None
    """The store's folder, for what a configuration may turn on later."""
    running: int = 0
    """Calls that are being served."""
