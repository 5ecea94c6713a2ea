"""Sentence embeddings by ONNX: the only module that imports `onnxruntime` and `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from headrace.errors import Setup, install_extra
from headrace.services.local.minilm import MiniLm

ARITHMETIC = "bytes-2"
"""How vectors come of the weights: another number where they change."""
_MAX_TOKENS = 256
"""What all-MiniLM-L6-v2 was made for; text past it is cut (its model card)."""
_BATCH = 32
_MOST_PADDING = 0.2
"""Of a batch's tokens; a step of its own for the others costs less."""


class Embedded(NamedTuple):
    """Unit vectors as float32 little-endian bytes, in the order of the texts, and the tokens
    read, special ones included."""

    vectors: list[bytes]
    tokens: int


class Embedder:
    """Texts to unit vectors: mean of the last hidden state over real tokens, normalised
    (Reimers and Gurevych 2019, Sentence-BERT, section 3). Safe to call from several threads."""

    def __init__(self, weights: str, tokenizer: str, threads: int) -> None:
        """Raises Setup."""
        try:
            import numpy
            import onnxruntime
            import tokenizers
        except ImportError as fault:
            raise Setup(
                f"local embeddings need onnxruntime, tokenizers and numpy: {fault}",
                install_extra("semantic"),
            ) from None
        self._np: Any = numpy
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(tokenizer)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
            options.log_severity_level = 3
            # Spinning threads would take the cores from chat models beside.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self._model = MiniLm(Path(weights).read_bytes())
            self._session = onnxruntime.InferenceSession(
                self._model.file, options, providers=["CPUExecutionProvider"]
            )
        except Setup:
            raise
        except Exception as fault:  # both libraries raise bare Exception types of their own
            raise Setup(
                f"cannot load the embeddings model: {fault}",
                "its files may be damaged: remove them and pull them again",
            ) from None
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Blocks: call it in a thread."""
        encoded = self._tokenizer.encode_batch_fast(list(texts))
        vectors = [b""] * len(encoded)
        for part in batches([len(item.ids) for item in encoded]):
            for index, vector in zip(part, self._run([encoded[i].ids for i in part]), strict=True):
                vectors[index] = vector.tobytes()
        return Embedded(vectors, sum(len(item.ids) for item in encoded))

    def _run(self, rows: list[list[int]]) -> Any:
        np = self._np
        shape = (len(rows), max(map(len, rows)))
        ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        (hidden,) = self._session.run(["hidden"], self._model.inputs(ids, mask))
        of_tokens = (hidden.reshape(*shape[::-1], -1) * mask.T[:, :, None]).sum(axis=0)
        # The length of the mean is made 1, so that the sum does as well.
        norms = np.linalg.norm(of_tokens, axis=1, keepdims=True)
        return (of_tokens / np.maximum(norms, 1e-12)).astype("<f4")


def batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Places of texts that are embedded at once: those of like length together, so that little of
    it is padding. `sizes` are their tokens."""
    part: list[int] = []
    tokens = 0
    for place in sorted(range(len(sizes)), key=sizes.__getitem__):
        whole = (len(part) + 1) * sizes[place]
        tokens += sizes[place]
        if part and (len(part) == _BATCH or whole - tokens > _MOST_PADDING * whole):
            yield part
            part, tokens = [], sizes[place]
        part.append(place)
    if part:
        yield part
