"""Questions to vectors, in a thread of their own; skipped when too many wait."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headrace.services.local.catalogue import KNOWN, resolve
from headrace.services.local.embedder import ARITHMETIC, Embedder

MODEL = "all-minilm-l6-v2"
VERSION = f"{MODEL} {KNOWN[MODEL].files[0].sha256[:16]} {ARITHMETIC}"
"""Vectors of others are never compared with its."""
MOST_WAITING = 32
"""More than so many, and a call is answered without: waiting would cost more than it saves."""
BATCH = 16


class Questions:
    """Embeds one text a call, those that wait together. For one event loop."""

    def __init__(self, embedder: Embedder) -> None:
        import numpy  # after the embedder, which says how to get it

        self._np: Any = numpy
        self._embedder = embedder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-embed")
        self._waiting: list[tuple[str, asyncio.Future[Any]]] = []
        self._running: asyncio.Task[None] | None = None
        self.skipped = 0

    @classmethod
    def load(cls) -> Questions:
        """Loads the embedded model. Raises Setup."""
        model = resolve(MODEL)
        files = model.files
        return cls(Embedder(str(files["weights"]), str(files["tokenizer"]), threads=1))

    async def embed(self, text: str) -> Any:
        """A unit vector, an array of float32; None if too many wait."""
        if len(self._waiting) >= MOST_WAITING:
            self.skipped += 1
            return None
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, future))
        if self._running is None:
            self._running = asyncio.create_task(self._work(), name="cache embeddings")
        return await future

    def similarity(self, one: str, other: str) -> float:
        """Cosine of two texts. Blocks."""
        first, second = map(self.vector, self._embedder.embed([one, other]).vectors)
        return float(first @ second)

    def vector(self, data: bytes) -> Any:
        """Of bytes that were a vector's."""
        return self._np.frombuffer(data, "<f4")

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                texts = [text for text, _ in batch]
                try:
                    made = await loop.run_in_executor(self._thread, self._embedder.embed, texts)
                except Exception as fault:  # onnxruntime raises types of its own
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(fault)
                    continue
                for (_, future), vector in zip(batch, made.vectors, strict=True):
                    if not future.done():
                        future.set_result(self.vector(vector))
        finally:
            self._running = None
