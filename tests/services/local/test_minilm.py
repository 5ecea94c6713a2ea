"""The graph that is built around the embedded weights: beside the file's own, and in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tokenizers

from headrace.errors import Setup
from headrace.services.local.catalogue import resolve
from headrace.services.local.embedder import Embedder, batches
from headrace.services.local.minilm import MiniLm
from headrace.services.local.onnx_file import (
    FLOAT,
    INT8,
    OWN,
    Graph,
    Node,
    Port,
    Tensor,
    read,
    write,
)

TEXTS = [
    "How do I reset my password?",
    "I forgot my password, how can I reset it?",
    "Show flights from Rome to Paris",
    "Was ist die Hauptstadt von Frankreich?",
    "How do I change the delivery address of an order that I placed yesterday, and is it possible "
    "to have one half of it sent to another place?",
]


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return {role: str(path) for role, path in resolve("all-minilm-l6-v2").files.items()}


@pytest.fixture(scope="module")
def embedder(files: dict[str, str]) -> Embedder:
    return Embedder(files["weights"], files["tokenizer"], 1)


def of(embedder: Embedder, texts: list[str]) -> Any:
    return np.array([np.frombuffer(vector, "<f4") for vector in embedder.embed(texts).vectors])


def by_its_own_graph(files: dict[str, str]) -> Any:
    """The plainest way: floats, one text at a time."""
    tokenizer = tokenizers.Tokenizer.from_file(files["tokenizer"])
    tokenizer.no_padding()
    session = onnxruntime.InferenceSession(files["weights"], providers=["CPUExecutionProvider"])
    rows = []
    for text in TEXTS:
        ids = np.array([tokenizer.encode(text).ids])
        ones = np.ones_like(ids)
        given = {"input_ids": ids, "attention_mask": ones, "token_type_ids": 0 * ids}
        mean = session.run(None, given)[0][0].mean(axis=0)
        rows.append(mean / np.linalg.norm(mean))
    return np.array(rows)


def test_its_vectors_are_those_of_the_files_own_graph(
    files: dict[str, str], embedder: Embedder
) -> None:
    ours, true = of(embedder, TEXTS), by_its_own_graph(files)
    assert (ours * true).sum(axis=1).min() > 0.995
    assert abs(ours @ ours.T - true @ true.T).max() < 0.02


def test_a_vector_does_not_hang_on_the_others_of_its_batch(embedder: Embedder) -> None:
    alone = np.concatenate([of(embedder, [text]) for text in TEXTS])
    together = of(embedder, [*TEXTS, *TEXTS[::-1], *TEXTS])
    assert np.abs(together[: len(TEXTS)] - alone).max() < 1e-5
    assert np.abs(together[-len(TEXTS) :] - alone).max() < 1e-5


def test_no_two_neighbours_overflow_16_bits(files: dict[str, str]) -> None:
    """What processors without VNNI would cut off in silence."""
    made = read(MiniLm(Path(files["weights"]).read_bytes()).file)
    weights = [tensor for tensor in made.tensors.values() if tensor.kind == INT8][1:]
    assert len(weights) == 4 * 6
    for tensor in weights:
        rows = np.frombuffer(tensor.data, "i1").reshape(tensor.shape).astype(int)
        assert abs(rows[::2] + rows[1::2]).max() * 255 < 1 << 15


def test_batches_hold_each_text_once_and_little_padding() -> None:
    sizes = [5, 250, 6, 7, 30, 31, 5, 6, 240, *[12] * 70]
    parts = list(batches(sizes))
    assert sorted(place for part in parts for place in part) == list(range(len(sizes)))
    assert max(map(len, parts)) <= 32
    for part in parts:
        whole = len(part) * max(sizes[place] for place in part)
        assert whole - sum(sizes[place] for place in part) <= 0.2 * whole
    assert len(parts) < 12
    assert list(batches([])) == []


def test_a_graph_that_is_written_is_read_again_and_runs() -> None:
    table = np.arange(200, dtype="<f4").reshape(100, 2)
    graph = Graph(
        {"table": Tensor(table.shape, FLOAT, table.tobytes())},
        [
            Node("Gemm", ["x", "table"], ["y"], {"transB": 1, "alpha": 0.5}),
            Node("ReduceMax", ["y"], ["most"], {"axes": (-1,), "keepdims": 1}),
            Node("Gelu", ["most"], ["z"], domain=OWN),
        ],
    )
    data = write(graph, [Port("x", FLOAT, ("rows", 2))], [Port("z", FLOAT, ("rows", 1))])
    again = read(data)
    assert again.tensors["table"].shape == (100, 2)
    assert bytes(again.tensors["table"].data) == table.tobytes()
    assert [(n.operator, n.takes, n.makes) for n in again.nodes] == [
        (n.operator, n.takes, n.makes) for n in graph.nodes
    ]
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    given = np.array([[1, 2], [3, -1]], np.float32)
    (found,) = session.run(None, {"x": given})
    expected = (0.5 * given @ table.T).max(axis=1)
    assert found[:, 0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: b"", "not a whole ONNX file"),
        (lambda data: data[: len(data) // 2], "not a whole ONNX file"),
        (lambda data: b"GGUF" + data[4:], "not a whole ONNX file"),
        (lambda data: data.replace(b"query.bias", b"quern.bias"), "not all-MiniLM-L6-v2"),
    ],
    ids=["empty", "cut", "another kind", "another model"],
)
def test_a_file_that_is_not_the_model_is_told(
    files: dict[str, str], tmp_path: Path, spoil: Any, says: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(spoil(Path(files["weights"]).read_bytes()))
    with pytest.raises(Setup, match=says) as told:
        Embedder(str(path), files["tokenizer"], 1)
    assert told.value.hint is not None
    assert "pull" in told.value.hint
