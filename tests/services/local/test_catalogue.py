from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from headrace.errors import Setup
from headrace.services.local.catalogue import KNOWN, installed, models_folder, resolve

LOCK = Path(__file__).parents[3] / "locks" / "models.txt"


def test_pins_are_those_of_the_lock() -> None:
    locked = LOCK.read_text()
    for model in KNOWN.values():
        for pin in model.pins:
            (entry,) = re.findall(rf"^{pin.package}==(?:.*\\\n)*.*$", locked, re.MULTILINE)
            assert entry.startswith(f"{pin.package}=={pin.version} ")
            assert f"sha256:{pin.sha256}" in entry


@pytest.mark.parametrize("name", KNOWN)
def test_installed_files_are_those_pinned(name: str) -> None:
    entry = KNOWN[name]
    found = installed(entry)
    assert found is not None
    for file in entry.files:
        content = found.files[file.role].read_bytes()
        assert len(content) == file.size_bytes
        assert hashlib.sha256(content).hexdigest() == file.sha256


def test_a_known_name_is_found_in_the_installed_packages(tmp_path: Path) -> None:
    model = resolve("all-minilm-l6-v2", tmp_path)
    assert model.kind == "embeddings"
    assert set(model.files) == {"weights", "tokenizer"}


def test_the_models_folder_comes_first(tmp_path: Path) -> None:
    entry = KNOWN["smollm2-135m-instruct"]
    (file,) = entry.files
    place = tmp_path / entry.name / file.name
    place.parent.mkdir()
    with place.open("wb") as sparse:
        sparse.truncate(file.size_bytes)
    assert resolve(entry.name, tmp_path).files["weights"] == place
    with place.open("wb") as cut:
        cut.truncate(file.size_bytes - 1)
    assert resolve(entry.name, tmp_path).files["weights"] != place


def test_missing_files_name_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.services.local.catalogue.installed", lambda _entry: None)
    with pytest.raises(Setup) as caught:
        resolve("smollm2-135m-instruct", tmp_path)
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("headrace models pull smollm2-135m-instruct")


def test_a_gguf_file_by_path_and_by_stem(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF and more")
    for model in (resolve(str(path), tmp_path), resolve("mine", tmp_path)):
        assert (model.name, model.kind) == ("mine", "chat")
        assert model.files == {"weights": path}


@pytest.mark.parametrize(
    ("model", "content", "says"),
    [
        ("no-such-model", None, "no local model named 'no-such-model'"),
        ("./absent.gguf", None, "No such file"),
        ("./other.gguf", b"PK\x03\x04", "not a GGUF file"),
        ("./empty.gguf", b"", "not a GGUF file"),
    ],
)
def test_what_is_no_model_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, content: bytes | None, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(model).write_bytes(content)
    with pytest.raises(Setup) as caught:
        resolve(model, tmp_path)
    assert says in caught.value.problem
    assert caught.value.hint is not None


def test_where_models_are_kept() -> None:
    assert models_folder({"HEADRACE_MODELS": "/srv/models"}) == Path("/srv/models")
    assert models_folder({"XDG_DATA_HOME": "/data"}) == Path("/data/headrace/models")
    home = Path.home() / ".local/share/headrace/models"
    assert models_folder({}) == home
    assert models_folder({"XDG_DATA_HOME": "relative"}) == home
