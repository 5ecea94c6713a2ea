"""all-MiniLM-L6-v2 (Wang et al. 2020, MiniLM) as a graph of integer products, around the 8-bit
weights of its file.

The file's own graph makes floats of the weights when it is loaded, and multiplies those. This one
multiplies bytes: half the time of a processor, and a quarter of the memory to read at each step.
What goes in is rounded to 8 bits, each token by its own largest number, so that a text's vector
does not hang on what else is in its batch, and one large number costs no other token its precision
(the per-token quantization of Yao et al. 2022, ZeroQuant).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.errors import Setup
from headrace.services.local.onnx_file import (
    FLOAT,
    INT8,
    INT64,
    OWN,
    UINT8,
    Buffer,
    Graph,
    Node,
    Port,
    Setting,
    Tensor,
    read,
    write,
)

LAYERS, HEADS, WIDTH, EPSILON = 6, 12, 384, 1e-12
MIDDLE = 128
"""What stands for zero among unsigned bytes."""
_LOW = 20
"""What stands for zero among the bytes of what GELU gives, ..."""
_GELU_LEAST = 0.17
"""... which is nothing below the negative of this: those below zero leave the other bytes to what
is above."""
MOST_PAIR = 127.0
"""Of the sum of two weights side by side, each of which may be rounded up by a half: times 255, the
most that goes in, it then stays within 16 bits."""
_EMBEDDINGS = "inner.embeddings"
_HIDES = -1e9
"""Added to how much a token heeds what is no token, it leaves nothing of it."""
_TAKES = [
    Port("ids", INT64, ("rows",)),
    Port("places", FLOAT, ("rows", WIDTH)),
    Port("middles", UINT8, ("rows",)),
    Port("lows", UINT8, ("rows",)),
    Port("hides", FLOAT, ("each text", 1, 1, "each token")),
    Port("heads", INT64, (4,)),
]
_MAKES = [Port("hidden", FLOAT, ("rows", WIDTH))]


class MiniLm:
    """The model, to be run by onnxruntime."""

    def __init__(self, data: Buffer) -> None:
        """`data` is its file. Raises Setup for that of another model."""
        import numpy

        self._np: Any = numpy
        found = read(data)
        try:
            taken = _Taken(found)
            places = taken.floats(f"{_EMBEDDINGS}.position_embeddings.weight")
            kinds = taken.floats(f"{_EMBEDDINGS}.token_type_embeddings.weight")
            self._places: Any = (places + kinds[0]).astype("<f4")
            """What is added to the first, second, ... token of a text."""
            self.file = write(taken.graph(), _TAKES, _MAKES)
            """In ONNX, of six inputs and the last hidden state, a row for each of `inputs`."""
        except (KeyError, ValueError):
            raise Setup(
                "the embeddings model is not all-MiniLM-L6-v2 in the form that is known",
                "remove its files and pull them again",
            ) from None

    def inputs(self, ids: Any, mask: Any) -> dict[str, Any]:
        """For texts as rows of tokens, an array of int64, and one that is 1 where there is a token
        and 0 else. Rows go in and come out token by token: the first of each text, the second of
        each, ... So each head of each text is a matrix within the rows, and none is copied."""
        np = self._np
        texts, tokens = ids.shape
        hides = np.where(mask, 0, _HIDES)[:, None, None]
        if mask.all():
            hides = hides[:1, ..., :1]
        return {
            "ids": ids.T.reshape(-1),
            "places": np.repeat(self._places[:tokens], texts, axis=0),
            "middles": np.full(ids.size, MIDDLE, "u1"),
            "lows": np.full(ids.size, _LOW, "u1"),
            "hides": hides.astype("<f4"),
            "heads": np.array([tokens, texts, 3 * HEADS, WIDTH // HEADS], "<i8"),
        }


class _Taken:
    """What is taken of the file's graph, and the new one. KeyError and ValueError say that the
    file's was not as expected."""

    def __init__(self, found: Graph) -> None:
        import numpy

        self._np: Any = numpy
        self._found = found.tensors
        products = {n.makes[0]: n.takes[1] for n in found.nodes if n.operator == "MatMul"}
        self._weights = {
            node.takes[1]: products[node.takes[0]]
            for node in found.nodes
            if node.operator == "Add" and node.takes[0] in products
        }
        """By the name of the bias that is added after."""
        self._made: dict[str, tuple[Any, Any]] = {}
        """Weights and scales, by the name of the product."""
        self._tensors: dict[str, Tensor] = {}
        self._nodes: list[Node] = []

    def floats(self, name: str) -> Any:
        """An array of a constant, or of its bytes times their scale."""
        if name in self._found:
            return self._array(name)
        return self._array(f"{name}_q").astype("<f4") * self._array(f"{name}_scale")

    def graph(self) -> Graph:
        self._constant("one", self._np.float32(1))
        self._constant("middle", self._np.uint8(MIDDLE))
        self._constant("low", self._np.uint8(_LOW))
        self._constant("flat", self._np.array([-1], "<i8"))
        self._constant("wide", self._np.array([-1, WIDTH], "<i8"))
        self._constant("step", self._np.float32(1 / 127))
        self._constant("fine step", self._np.float32(1 / (255 - _LOW)))
        self._constant("least step", self._np.float32(_GELU_LEAST / _LOW))
        layers = [f"inner.encoder.layer.{number}" for number in range(LAYERS)]
        # The bias of each attention's last product is not added to what it makes, but to what that
        # is added to: one step less.
        shifts = [self._array(f"{layer}.attention.output.dense.bias") for layer in layers]
        hidden = self._embedded(shifts[0])
        for layer, shift, next_shift in zip(layers, shifts, [*shifts[1:], 0], strict=True):
            hidden = self._layer(layer, hidden, shift, next_shift)
        self._add("Identity", [hidden], "hidden")
        return Graph(self._tensors, self._nodes)

    def _embedded(self, shift: Any) -> str:
        words = f"{_EMBEDDINGS}.word_embeddings.weight"
        for part in ("_q", "_scale"):
            self._add("Gather", [self._keep(words + part), "ids"], f"word{part}")
        self._add("Cast", ["word_q"], "word_f", {"to": FLOAT})
        self._add("Mul", ["word_f", "word_scale"], "word")
        self._add("Add", ["word", "places"], "placed")
        return self._normal(f"{_EMBEDDINGS}.LayerNorm", "placed", shift)

    def _layer(self, layer: str, hidden: str, shift: Any, next_shift: Any) -> str:
        """`hidden` comes with `shift` added, and what is made goes with `next_shift`."""
        wide, narrow = f"{layer}.intermediate.dense", f"{layer}.output.dense"
        own_shift = self._array(f"{narrow}.bias")
        attended = self._attention(f"{layer}.attention", hidden, shift, own_shift)
        bias = self._array(f"{wide}.bias") - self._of_shift(wide, own_shift)
        takes = [
            self._product(wide, self._rounded(attended)),
            self._constant(f"{wide}.rest", bias),
        ]
        # By way of tanh: nowhere further from GELU than 0.0005, less than a tenth of a usual step.
        self._add("FastGelu", takes, f"{layer}.gelu", domain=OWN)
        found = self._product(narrow, self._rounded_gelu(f"{layer}.gelu"))
        self._add("Add", [found, attended], f"{layer}.sum")
        return self._normal(f"{layer}.output.LayerNorm", f"{layer}.sum", next_shift)

    def _attention(self, inner: str, hidden: str, shift: Any, next_shift: Any) -> str:
        names = [f"{inner}.self.{part}" for part in ("query", "key", "value")]
        all_three = self._product(f"{inner}.self", self._rounded(hidden), names)
        self._add("Reshape", [all_three, "heads"], f"{inner}.heads")
        parts = [f"{name}.part" for name in names]
        self._nodes.append(Node("Split", [f"{inner}.heads"], parts, {"axis": 2}))
        # The key's bias moves all that a token heeds alike: softmax gives the same without it.
        for name in (names[0], names[2]):
            bias = self._array(f"{name}.bias") - self._of_shift(name, shift)
            takes = [f"{name}.part", self._constant(f"{name}.rest", bias.reshape(HEADS, -1))]
            self._add("Add", takes, f"{name}.whole")
        heeding = f"{names[0]}.whole", f"{names[1]}.part", f"{names[2]}.whole"
        attended = self._heeded(inner, *heeding)
        attended = self._product(f"{inner}.output.dense", self._rounded(attended))
        self._add("Add", [attended, hidden], f"{inner}.sum")
        return self._normal(f"{inner}.output.LayerNorm", f"{inner}.sum", next_shift)

    def _heeded(self, inner: str, query: str, key: str, value: str) -> str:
        """Of each token's heads (tokens, texts, HEADS, width of one) what they heed, as rows."""
        like: dict[str, Setting] = {
            "transBatchA": 1,
            "transBatchB": 1,
            "transB": 1,
            "alpha": (WIDTH / HEADS) ** -0.5,
        }
        self._add("FusedMatMul", [query, key], f"{inner}.like", like, OWN)
        self._add("Add", [f"{inner}.like", "hides"], f"{inner}.shown")
        self._add("Softmax", [f"{inner}.shown"], f"{inner}.heed", {"axis": -1})
        takes = [f"{inner}.heed", value]
        self._add("FusedMatMul", takes, f"{inner}.by head", {"transBatchB": 1}, OWN)
        self._add("Transpose", [f"{inner}.by head"], f"{inner}.by token", {"perm": (2, 0, 1, 3)})
        return self._add("Reshape", [f"{inner}.by token", "wide"], f"{inner}.rows")

    def _rounded(self, hidden: str) -> tuple[str, str, str]:
        """Names of the bytes, of the step of each token, and of what stands for zero."""
        self._add("Abs", [hidden], f"{hidden}.size")
        steps = self._steps(f"{hidden}.size", "step")
        return self._bytes(hidden, steps, "middles"), steps, "middle"

    def _rounded_gelu(self, hidden: str) -> tuple[str, str, str]:
        """The same of what comes of GELU."""
        takes = [self._steps(hidden, "fine step"), "least step"]
        steps = self._add("Clip", takes, f"{hidden}.clipped")
        return self._bytes(hidden, steps, "lows"), steps, "low"

    def _steps(self, sizes: str, step: str) -> str:
        """One for each token, by the largest of its numbers."""
        largest: dict[str, Setting] = {"axes": (-1,), "keepdims": 1}
        self._add("ReduceMax", [sizes], f"{sizes}.largest", largest)
        return self._add("Mul", [f"{sizes}.largest", step], f"{sizes}.steps")

    def _bytes(self, hidden: str, steps: str, zeros: str) -> str:
        each = self._add("Reshape", [steps, "flat"], f"{hidden}.each")
        return self._add("QuantizeLinear", [hidden, each, zeros], f"{hidden}.bytes", {"axis": 0})

    def _product(
        self, name: str, rounded: tuple[str, str, str], of: Sequence[str] | None = None
    ) -> str:
        """With its weights, or those of several side by side, without the bias."""
        parts = [self._weighed(one) for one in of or [name]]
        weights, scale = (self._np.concatenate(all_, axis=-1) for all_ in zip(*parts, strict=True))
        number, steps, zero = rounded
        data = self._constant(f"{name}.bytes", weights)
        takes = [number, data, "one", self._constant(f"{name}.scale", scale), zero]
        self._add("MatMulIntegerToFloat", takes, f"{name}.product", domain=OWN)
        return self._add("Mul", [f"{name}.product", steps], name)

    def _weighed(self, name: str) -> tuple[Any, Any]:
        """Signed bytes (inputs, outputs) and the scale of each output.

        Processors without VNNI add the products of two neighbours in 16 bits, which must not
        overflow (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
        Where they might, an output's weights are made smaller and rounded once more."""
        if name in self._made:
            return self._made[name]
        np = self._np
        weights = self._array(f"{self._weights[f'{name}.bias']}_q")
        scale = self._array(f"{self._weights[f'{name}.bias']}_scale")
        if scale.shape != (1, weights.shape[1]) or len(weights) % 2:
            raise ValueError(name)
        largest = abs(np.add(weights[::2], weights[1::2], dtype="<i2")).max(axis=0)
        smaller = np.minimum(1.0, MOST_PAIR / np.maximum(largest, 1)).astype("<f4")
        made = np.rint(weights * smaller).astype("i1"), scale.reshape(-1) / smaller
        self._made[name] = made
        return made

    def _of_shift(self, name: str, shift: Any) -> Any:
        """What a shift of all that goes in, or of each, adds to what comes out."""
        weights, scale = self._weighed(name)
        each = self._np.broadcast_to(self._np.asarray(shift, "<f4"), len(weights))
        return (each @ weights.astype("<f4")) * scale

    def _normal(self, name: str, hidden: str, shift: Any) -> str:
        """With `shift` added, an array or 0."""
        bias = self._constant(f"{name}.shifted", self._array(f"{name}.bias") + shift)
        takes = [hidden, self._keep(f"{name}.weight"), bias]
        return self._add("LayerNormalization", takes, name, {"epsilon": EPSILON, "axis": -1})

    def _array(self, name: str) -> Any:
        tensor = self._found[name]
        kind = {FLOAT: "<f4", INT8: "i1"}[tensor.kind]
        return self._np.frombuffer(tensor.data, kind).reshape(tensor.shape)

    def _keep(self, name: str) -> str:
        self._tensors[name] = self._found[name]
        return name

    def _constant(self, name: str, array: Any) -> str:
        kind = {"float32": FLOAT, "int8": INT8, "uint8": UINT8, "int64": INT64}[array.dtype.name]
        self._tensors[name] = Tensor(array.shape, kind, array.tobytes())
        return name

    def _add(
        self,
        operator: str,
        takes: list[str],
        makes: str,
        settings: dict[str, Setting] | None = None,
        domain: str = "",
    ) -> str:
        self._nodes.append(Node(operator, takes, [makes], settings or {}, domain))
        return makes
