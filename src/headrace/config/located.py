"""Says what is wrong at the line where it stands in the file."""

from __future__ import annotations

from headrace.config.problems import Findings, KeyPath, Place


class Located:
    """`places` says where each key or item of the file stands.

    Parts that did not fit the types are missing from the config, but their names are in `places`.
    """

    def __init__(self, places: dict[KeyPath, Place], findings: Findings) -> None:
        self._places = places
        self._findings = findings

    def is_written(self, path: KeyPath) -> bool:
        """Whether the file has this key, whatever its value."""
        return path in self._places

    def names(self, section: str) -> set[str]:
        """The names written in a section, such as `backends`."""
        return {str(p[1]) for p in self._places if len(p) == 2 and p[0] == section}

    def names_under(self, path: KeyPath) -> set[str]:
        """The names written in a section within another."""
        return {str(p[-1]) for p in self._places if p[:-1] == path}

    def problem(self, path: KeyPath, what: str, instead: str) -> None:
        self._findings.problem(self._at(path), path, what, instead)

    def warning(self, path: KeyPath, what: str, instead: str) -> None:
        self._findings.warning(self._at(path), path, what, instead)

    def _at(self, path: KeyPath) -> Place:
        """The place of the key, or of the nearest section around it that is written. No path is
        the file as a whole."""
        if not path:
            return Place()
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path, Place())
