"""The bytes of a YAML file as a tree of plain values that know their line.

Follows PyYAML's SafeLoader (YAML 1.1), with what surprises people taken out: dates are text,
keys are text, a key stands once, and aliases can't grow the file beyond a bound.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from headrace.config.masking import quoted
from headrace.config.problems import Findings, KeyPath, Place

SIZE_LIMIT = 1024 * 1024
_DEPTH_LIMIT = 40
_NODE_LIMIT = 100_000
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text, a number, true or false, or nothing. `written` is as in the file."""

    place: Place
    value: str | int | float | bool | None
    written: str
    plain: bool
    """Written without quotes."""


@dataclass(frozen=True, slots=True)
class Items:
    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    key: str
    place: Place
    value: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    place: Place
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that can't be used; the problem is noted already."""

    place: Place


Node = Scalar | Items | Mapping | Broken


class _TooDeep(Exception):  # noqa: N818
    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place


class _Loader(yaml.SafeLoader):
    """Stops at a depth that no real file has, long before Python's own limit."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > _DEPTH_LIMIT:
            raise _TooDeep(_place(self.peek_event().start_mark))  # type: ignore[no-untyped-call]
        try:
            node: yaml.Node | None = super().compose_node(parent, index)
            return node
        finally:
            self._depth -= 1


def read_tree(data: bytes, findings: Findings) -> Mapping | None:
    """The file's tree. None if it can't be read at all; `findings` then says why.

    Smaller faults (a key twice, a tag) are added to `findings` and left out of the tree.
    """
    text = _text(data, findings)
    if text is None:
        return None
    root = _composed(text, findings)
    if root is None:
        return None
    try:
        tree = _Grower(findings).grown(root, ())
    except _TooDeep as deep:
        findings.problem(
            deep.place,
            (),
            "aliases make the file nest or grow without bound",
            "Write the values out instead of using `&` and `*`.",
        )
        return None
    if not isinstance(tree, Mapping):
        findings.problem(
            Place(1, 1),
            (),
            "the file must hold keys with values",
            "Start with a line such as `backends:`.",
        )
        return None
    return tree


def _text(data: bytes, findings: Findings) -> str | None:
    def refuse(line: int, column: int, what: str, instead: str) -> None:
        findings.problem(Place(line, column), (), what, instead)

    if len(data) > SIZE_LIMIT:
        refuse(
            0, 0, "the file is larger than 1 MiB", "Check the path: is this Headrace's own file?"
        )
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        refuse(line, column, "this line is not UTF-8 text", "Save the file as UTF-8.")
        return None
    for number, line_text in enumerate(text.split("\n"), 1):
        indent = line_text[: len(line_text) - len(line_text.lstrip(" \t"))]
        if "\t" in indent and line_text.strip() and not line_text.lstrip().startswith("#"):
            refuse(
                number,
                indent.index("\t") + 1,
                "the line is indented with a tab",
                "YAML needs spaces: replace the tab by two spaces.",
            )
    return None if findings.problems else text


def _composed(text: str, findings: Findings) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        what, instead = _syntax(error)
        mark = error.problem_mark or error.context_mark
        if any(word in (error.context or "") for word in ("flow", "quoted", "simple key")):
            # Where the bracket, quote or key stands, rather than where its end was missed.
            mark = error.context_mark or mark
        findings.problem(_place(mark), (), what, instead)
        return None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        findings.problem(
            place, (), "an invisible control character is in this line", "Delete it and retype."
        )
        return None
    except _TooDeep as deep:
        findings.problem(
            deep.place, (), "the file nests deeper than 40 levels", "Check the brackets."
        )
        return None
    except (ValueError, OverflowError, RecursionError):
        # Escapes such as "\UFFFFFFFF" make PyYAML itself stumble.
        findings.problem(
            Place(), (), "the file is not valid YAML", "Look for a `\\U` escape in quotes."
        )
        return None
    if root is None:
        findings.problem(
            Place(),
            (),
            "the file is empty",
            "Write your backends and models, or delete the file to serve what Headrace finds.",
        )
    return root


def _place(mark: yaml.Mark | None) -> Place:
    return Place() if mark is None else Place(mark.line + 1, mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError) -> tuple[str, str]:
    """A sentence for PyYAML's complaint. Never quotes the file: a secret may stand there."""
    problem, context = error.problem or "", error.context or ""
    if "another document" in problem:
        return (
            "a second YAML document starts here",
            "Keep one document in the file: remove the `---` line.",
        )
    if "scanning an alias" in context or "undefined alias" in problem:
        return (
            "an unquoted `*` starts a YAML alias",
            'Put the text in quotes, as in `"*"`.',
        )
    if "scanning an anchor" in context:
        return ("an unquoted `&` starts a YAML anchor", "Put the text in quotes.")
    if "duplicate anchor" in problem:
        return ("an anchor (`&`) with this name was given before", "Give it another name.")
    start = re.search(r"character '(\\t|.)' that cannot start", problem)
    if start and start.group(1) == "\\t":
        return ("a tab stands where only spaces may", "Replace the tab by spaces.")
    if start:
        return (f"text can't start with `{start.group(1)}`", "Put the text in quotes.")
    if "quoted scalar" in context:
        return ("a quoted text is broken or has no end", "Check the quotes (`\"`, `'`) and `\\`.")
    if "flow mapping" in context:
        return ("a `{` is not closed properly", "Check the commas and add the missing `}`.")
    if "flow sequence" in context:
        return ("a `[` is not closed properly", "Check the commas and add the missing `]`.")
    if "mapping values are not allowed" in problem:
        return (
            "a `:` stands where no key can be",
            "Check the indentation, or put text that holds `: ` in quotes.",
        )
    if "could not find expected ':'" in problem:
        return ("a key has no `:`", "Write `key: value`, with a space after the colon.")
    if "block mapping" in context or "block collection" in context or "block end" in problem:
        return (
            "this line does not fit the ones above",
            "Keys of one section must start in the same column.",
        )
    if "tag" in context or "tag" in problem:
        return ("an unquoted `!` starts a YAML tag", "Put the text in quotes.")
    return ("this is not valid YAML", "Check the indentation, quotes and brackets near this line.")


class _Grower:
    """Turns PyYAML's nodes into ours, once for each place where an alias uses them."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._nodes = 0
        self._depth = 0

    def grown(self, node: yaml.Node, path: KeyPath) -> Node:
        place = _place(node.start_mark)
        self._nodes += 1
        if self._nodes > _NODE_LIMIT or self._depth > 2 * _DEPTH_LIMIT:
            raise _TooDeep(place)
        self._depth += 1
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return Mapping(place, tuple(self._entries(node, path).values()))
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                grown = (self.grown(item, (*path, i)) for i, item in enumerate(node.value))
                return Items(place, tuple(grown))
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, path)
        finally:
            self._depth -= 1
        return self._tagged(place, path)

    def _tagged(self, place: Place, path: KeyPath) -> Broken:
        self._findings.problem(
            place, path, "YAML tags (`!`) are not used here", "Remove the tag, or quote the text."
        )
        return Broken(place)

    def _entries(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Entry]:
        merged: dict[str, Entry] = {}
        own: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            place = _place(key_node.start_mark)
            if key_node.tag == f"{_TAG}merge":
                merged = {**self._merged(value_node, path, place), **merged}
                continue
            key = self._key(key_node, path, place)
            if key is None:
                continue
            if key in own:
                self._findings.problem(
                    place,
                    (*path, key),
                    f"this key stands here twice (first on line {own[key].place.line})",
                    "Remove one of the two.",
                )
                continue
            own[key] = Entry(key, place, self.grown(value_node, (*path, key)))
        return {**merged, **own}

    def _merged(self, node: yaml.Node, path: KeyPath, place: Place) -> dict[str, Entry]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        entries: dict[str, Entry] = {}
        for part in reversed(parts):
            grown = self.grown(part, path)
            if not isinstance(grown, Mapping):
                self._findings.problem(
                    place, path, "`<<` must name a mapping", "Write `<<: *name` of an `&name`."
                )
                return {}
            entries.update({entry.key: entry for entry in grown.entries})
        return entries

    def _key(self, node: yaml.Node, path: KeyPath, place: Place) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._findings.problem(
                place, path, "a list or mapping can't be a key", "Write a name before the colon."
            )
            return None
        key = self._scalar(node, path)
        if isinstance(key, Broken):
            return None
        if isinstance(key.value, str):
            return key.value
        kind = kind_of(key.value)
        self._findings.problem(
            place,
            path,
            f"the key {quoted(key.written)} is read as {kind}, not as text",
            f"Put it in quotes: {quoted(key.written)}.",
        )
        return None

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Scalar | Broken:
        place = _place(node.start_mark)
        written: str = node.value
        plain = node.style is None
        kind = node.tag.removeprefix(_TAG)
        if kind in ("str", "timestamp", "value", "merge"):
            return Scalar(place, written, written, plain)
        if kind == "null":
            return Scalar(place, None, written, plain)
        if kind not in ("bool", "int", "float"):
            return self._tagged(place, path)
        build = getattr(yaml.constructor.SafeConstructor(), f"construct_yaml_{kind}")
        try:
            value: bool | int | float = build(node)
        except (ValueError, LookupError, ArithmeticError):
            return Scalar(place, written, written, plain)
        return Scalar(place, value, written, plain)


def kind_of(value: str | int | float | bool | None) -> str:
    """What YAML made of a value, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "text" if isinstance(value, str) else "a number"
