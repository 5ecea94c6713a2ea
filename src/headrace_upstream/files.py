"""OpenAI's files: what was uploaded, until the upstream forgets.

https://platform.openai.com/docs/api-reference/files
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace_upstream.passed import Sent
from headrace_upstream.refusals import Refusal, refusal
from headrace_upstream.reply import JSON
from headrace_upstream.template import Rendering

_BYTES = b"application/octet-stream"


class Files:
    """Of one upstream, whoever's key they came with."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[dict[str, Any], bytes]] = {}

    def clear(self) -> None:
        self._kept.clear()

    def answer(self, method: str, path: str, sent: Sent, seq: int, key: str) -> Rendering | Refusal:
        """`path` is without its query; `key` tells one account from another."""
        name, _, part = path.partition("/files")[2].strip("/").partition("/")
        if method == "POST" and not name:
            return self._taken(sent, seq, key)
        if not name:
            listed = [file for file, _ in self._kept.values()]
            return _json({"object": "list", "data": listed, "has_more": False})
        if name not in self._kept:
            return refusal("openai", 404, f"No such File object: {name}", param="id")
        file, data = self._kept[name]
        if method == "DELETE":
            del self._kept[name]
            return _json({"id": name, "object": "file", "deleted": True})
        return Rendering(_BYTES, 0, data) if part == "content" else _json(file)

    def _taken(self, sent: Sent, seq: int, key: str) -> Rendering | Refusal:
        if not sent.files or not sent.text("purpose"):
            return refusal("openai", 400, "'file' and 'purpose' are required.", param="file")
        _, name, data = sent.files[0]
        file = {
            "id": f"file-{key[-4:]}{seq:08d}",
            "object": "file",
            "bytes": len(data),
            "created_at": 1_700_000_000 + seq,
            "filename": name,
            "purpose": sent.text("purpose"),
            "status": "processed",
        }
        self._kept[str(file["id"])] = (file, data)
        return _json(file)


def _json(value: dict[str, Any]) -> Rendering:
    return Rendering(JSON, 0, msgspec.json.encode(value))
