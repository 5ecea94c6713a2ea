"""Checks a YAML tree against the schema's types, and says everything that does not fit.

The types come from `msgspec.inspect`, so that a new field in `schema.py` is checked without a
change here.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, inspect

from headrace.config.fielddocs import field_docs
from headrace.config.habits import habit
from headrace.config.masking import looks_secret, quoted
from headrace.config.problems import Findings, KeyPath, Place
from headrace.config.providers import ALSO_CALLED, OPENAI_COMPATIBLE
from headrace.config.words import also_number, as_number, expected, nearest, suggestion
from headrace.config.yamltree import Broken, Entry, Items, Mapping, Node, Scalar, kind_of


class _Bad:
    """Stands for a value that did not fit; the problem is noted already."""


BAD: Final = _Bad()


class Shape:
    """Checks one file. `places` tells afterwards where each key or item stands."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.places: dict[KeyPath, Place] = {}

    def check(self, node: Node, kind: inspect.Type, path: KeyPath = (), base: Any = None) -> Any:
        """The plain value for `msgspec.convert`, or BAD.

        Bad entries of a mapping of names, and bad sections, are left out, so that what remains can
        be checked further; the file is good only if no problem was noted.

        `base` is the default of a struct's field, whose own fields fill what the file leaves out.
        """
        self.places.setdefault(path, node.place)
        if isinstance(node, Broken):
            return BAD
        inner = kind.type if isinstance(kind, inspect.Metadata) else kind
        if isinstance(inner, inspect.UnionType):
            return self._union(node, inner, path, base)
        if isinstance(node, Scalar) and node.value is None and not _optional(kind):
            return self._empty(node, kind, path)
        match inner:
            case inspect.StructType():
                return self._struct(node, inner, path, base)
            case inspect.DictType():
                return self._dict(node, inner, path)
            case inspect.ListType():
                return self._list(node, kind, inner, path)
            case inspect.AnyType():
                return None
        if not isinstance(node, Scalar):
            return self._wrong(node, kind, path)
        return self._scalar(node, kind, inner, path)

    def _bad(self, node: Node, path: KeyPath, what: str, instead: str) -> _Bad:
        self._findings.problem(node.place, path, what, instead)
        return BAD

    def _empty(self, node: Scalar, kind: inspect.Type, path: KeyPath) -> _Bad:
        if isinstance(kind, inspect.StructType | inspect.DictType | inspect.ListType):
            instead = "Write its contents on the lines below, indented, or remove the line."
        else:
            instead = f"Write {expected(kind)}, or remove the line."
        return self._bad(node, path, "there is no value", instead)

    def _wrong(self, node: Node, kind: inspect.Type, path: KeyPath) -> _Bad:
        if isinstance(node, Items):
            found = "a list"
        elif isinstance(node, Mapping):
            found = "a mapping"
        else:
            found = kind_of(node.value) if isinstance(node, Scalar) else "this"
        instead = habit(path) or f"Write {expected(kind)}."
        return self._bad(node, path, f"{found} does not fit here", instead)

    def _union(self, node: Node, union: inspect.UnionType, path: KeyPath, base: Any) -> Any:
        options = [t for t in union.types if not isinstance(t, inspect.NoneType)]
        if isinstance(node, Scalar) and node.value is None and _optional(union):
            return None
        if len(options) == 1:
            return self.check(node, options[0], path, base)
        tagged = [t for t in options if isinstance(t, inspect.StructType) and t.tag is not None]
        if tagged and isinstance(node, Mapping):
            chosen = self._by_tag(node, tagged, path)
            return BAD if chosen is None else self._struct(node, chosen, path, None)
        fitting = [t for t in options if _fits(node, t)]
        if not fitting:
            return self._wrong(node, union, path)
        return self.check(node, fitting[0], path)

    def _by_tag(
        self, node: Mapping, options: list[inspect.StructType], path: KeyPath
    ) -> inspect.StructType | None:
        tag_field = str(options[0].tag_field)
        by_tag = {str(option.tag): option for option in options}
        choices = ", ".join(by_tag)
        entry = next((e for e in node.entries if e.key == tag_field), None)
        if entry is None:
            self._bad(
                node,
                path,
                f"`{tag_field}` is missing",
                f"Add `{tag_field}: {next(iter(by_tag))}` or another of: {choices}.",
            )
            return None
        value = entry.value.value if isinstance(entry.value, Scalar) else None
        if isinstance(value, str) and value in by_tag:
            return by_tag[value]
        name = value if isinstance(value, str) else ""
        url = OPENAI_COMPATIBLE.get(name.casefold())
        if url is not None and "openai" in by_tag:
            instead = f"Write `{tag_field}: openai` and `url: {url}`."
        else:
            other = ALSO_CALLED.get(name.casefold())
            close = other if other in by_tag else nearest(name, by_tag)
            instead = f"Did you mean {quoted(close)}?" if close else f"Write one of: {choices}."
        what = f"unknown {tag_field} {quoted(name)}" if name else f"unknown {tag_field}"
        self._findings.problem(entry.place, (*path, tag_field), what, instead)
        return None

    def _struct(self, node: Node, struct: inspect.StructType, path: KeyPath, base: Any) -> Any:
        if not isinstance(node, Mapping):
            return self._wrong(node, struct, path)
        fields = {f.encode_name: f for f in struct.fields}
        found = {entry.key: entry for entry in node.entries}
        if struct.tag_field is not None:
            self.places[(*path, struct.tag_field)] = found[struct.tag_field].place
        values: dict[str, Any] = {struct.tag_field: struct.tag} if struct.tag_field else {}
        if isinstance(base, msgspec.Struct):
            values |= msgspec.to_builtins(base)
        good = True
        for key, entry in found.items():
            if key == struct.tag_field:
                continue
            if key not in fields:
                known = set(fields) | ({struct.tag_field} if struct.tag_field else set())
                hint = habit((*path, key)) or suggestion(key, known, "Remove it.", set(found))
                self._findings.problem(entry.place, (*path, key), "unknown key", hint)
                good = good and not path
                continue
            self.places[(*path, key)] = entry.place
            field = fields[key]
            default = None if field.default is NODEFAULT else field.default
            value = self.check(entry.value, field.type, (*path, key), default)
            if value is not BAD:
                values[key] = value
            elif path:
                good = False
        for name, field in fields.items():
            if field.required and name not in found and not _misspelt(name, found, fields):
                good = False
                meaning = field_docs(struct.cls).get(name)
                instead = f"Add `{name}:`. {meaning or f'Write {expected(field.type)}.'}"
                self._bad(node, path, f"`{name}` is missing", instead)
        return values if good else BAD

    def _dict(self, node: Node, kind: inspect.DictType, path: KeyPath) -> Any:
        if not isinstance(node, Mapping):
            return self._wrong(node, kind, path)
        values: dict[str, Any] = {}
        for entry in node.entries:
            self.places[(*path, entry.key)] = entry.place
            fits = self._key_fits(entry, kind.key_type, path)
            value = self.check(entry.value, kind.value_type, (*path, entry.key))
            if fits and value is not BAD:
                values[entry.key] = value
        return values

    def _key_fits(self, entry: Entry, kind: inspect.Type, path: KeyPath) -> bool:
        if _text_fits(entry.key, kind):
            return True
        self._findings.problem(
            entry.place,
            (*path, entry.key),
            "this can't be a name",
            f"Write {expected(kind)}.",
        )
        return False

    def _list(self, node: Node, kind: inspect.Type, inner: inspect.ListType, path: KeyPath) -> Any:
        if not isinstance(node, Items):
            if isinstance(node, Scalar) and _fits(node, inner.item_type):
                one = quoted(node.written)
                bare = one[1:-1] if re.fullmatch(r'"[A-Za-z][A-Za-z0-9._-]*"', one) else one
                instead = habit(path) or f"Write `[{bare}]`."
                return self._bad(node, path, "this must be a list", instead)
            return self._wrong(node, kind, path)
        values = [
            self.check(item, inner.item_type, (*path, i)) for i, item in enumerate(node.items)
        ]
        return BAD if any(value is BAD for value in values) else values

    def _scalar(self, node: Scalar, kind: inspect.Type, inner: inspect.Type, path: KeyPath) -> Any:
        value = node.value
        match inner:
            case inspect.NoneType():
                return None if value is None else self._wrong(node, kind, path)
            case inspect.StrType():
                return self._text(node, kind, path)
            case inspect.LiteralType(values=choices):
                return self._choice(node, kind, [str(c) for c in choices], path)
            case inspect.EnumType(cls=cls):
                return self._choice(node, kind, [str(member.value) for member in cls], path)
            case inspect.BoolType():
                if isinstance(value, bool):
                    return value
                shown = quoted(node.written)
                return self._bad(node, path, f"{shown} is {kind_of(value)}", "Write true or false.")
            case inspect.IntType() | inspect.FloatType():
                return self._number(node, kind, inner, path)
        return self._wrong(node, kind, path)

    def _text(self, node: Scalar, kind: inspect.Type, path: KeyPath) -> Any:
        if _secret(kind):
            return self._secret_ref(node, kind, path)
        if also_number(kind) and _is_number(node) and _text_fits(node.written, kind):
            return node.written
        if also_number(kind) and not isinstance(node.value, str):
            what = f"{quoted(node.written)} does not fit here"
            return self._bad(node, path, what, f"Write {expected(kind)}.")
        if not isinstance(node.value, str):
            shown = quoted(node.written)
            return self._bad(
                node,
                path,
                f"{shown} is read as {kind_of(node.value)}, but text is expected",
                f"Put it in quotes: {shown}.",
            )
        if _text_fits(node.value, kind):
            return node.value
        if not node.value.strip():
            return self._bad(node, path, "the text is empty", "Write one, or remove the line.")
        if any(ord(c) < 32 for c in node.value):
            what = "the text has a line break or a control character in it"
            return self._bad(node, path, what, "Write it on one line.")
        what = f"{quoted(node.value)} does not fit here"
        return self._bad(node, path, what, f"Write {expected(kind)}.")

    def _secret_ref(self, node: Scalar, kind: inspect.Type, path: KeyPath) -> Any:
        """A reference to a secret. What stands here instead is never quoted."""
        if isinstance(node.value, str) and _text_fits(node.value, kind) and not _pasted(node.value):
            return node.value
        field = next((part for part in reversed(path) if isinstance(part, str)), "secret")
        written = node.written.strip()
        plain = written.removeprefix("os.environ/")
        if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*_(KEY|TOKEN|SECRET)", plain):
            return self._bad(
                node, path, "a reference is expected", f"Write `{field}: env:{plain}`."
            )
        if written.startswith(("$", "{", "os.environ/")):
            what = "environment variables are not filled in here"
        elif written.startswith("env:"):
            what = "what follows `env:` is not the name of an environment variable"
        elif written.startswith("file:"):
            what = "`file:` needs a path after it"
        else:
            what = "secrets must not stand in this file"
        instead = f"Write `{field}: env:NAME` or `{field}: file:PATH`."
        return self._bad(node, path, what, instead)

    def _choice(self, node: Scalar, kind: inspect.Type, choices: list[str], path: KeyPath) -> Any:
        if isinstance(node.value, str) and node.value in choices:
            return node.value
        close = nearest(node.written, choices)
        instead = f"Did you mean {quoted(close)}?" if close else f"Write {expected(kind)}."
        return self._bad(node, path, f"{quoted(node.written)} is not known here", instead)

    def _number(
        self,
        node: Scalar,
        kind: inspect.Type,
        inner: inspect.IntType | inspect.FloatType,
        path: KeyPath,
    ) -> Any:
        value, written = node.value, node.written
        whole = isinstance(inner, inspect.IntType)
        shown = quoted(written) if isinstance(value, str) or not node.plain else written[:60]
        if isinstance(value, str) or value is None or isinstance(value, bool):
            number = None if isinstance(value, bool) else as_number(written, whole)
            if number is not None:
                return self._bad(node, path, f"{shown} is text, not a number", f"Write {number}.")
            return self._bad(node, path, f"{shown} is {kind_of(value)}", f"Write {expected(kind)}.")
        if isinstance(value, int) and re.fullmatch(r"[-+]?0[0-9_]+", written):
            plain = written.lstrip("+-0_") or "0"
            what = f"{shown} starts with 0, so YAML reads it as the octal number {value}"
            return self._bad(node, path, what, f"Write {plain} or {value}.")
        if ":" in written:
            what = f"{shown} is read as {value:g}, a number to the base 60"
            return self._bad(node, path, what, f"Write {expected(kind)}.")
        if whole and isinstance(value, float):
            instead = f"Write {expected(kind)}."
            return self._bad(node, path, f"{shown} is not a whole number", instead)
        if not math.isfinite(value) or not _in_range(value, inner):
            return self._bad(node, path, f"{shown} is out of range", f"Write {expected(kind)}.")
        return value


def _optional(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(isinstance(t, inspect.NoneType) for t in kind.types)
    return isinstance(kind, inspect.NoneType | inspect.AnyType)


def _secret(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.Metadata) and bool((kind.extra or {}).get("secret"))


def _is_number(node: Scalar) -> bool:
    return isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _pasted(reference: str) -> bool:
    """`env:` with a key's text behind it, such as `env:gsk_...`, instead of a variable's name."""
    name = reference.removeprefix("env:")
    return (
        name != reference
        and looks_secret(name)
        and name.upper() != name
        and any(c.isdigit() for c in name)
    )


def _text_fits(text: str, kind: inspect.Type) -> bool:
    inner = kind.type if isinstance(kind, inspect.Metadata) else kind
    if not text.strip() or any(ord(c) < 32 or ord(c) == 127 for c in text):
        return False
    if not isinstance(inner, inspect.StrType):
        return True
    if inner.min_length is not None and len(text) < inner.min_length:
        return False
    if inner.max_length is not None and len(text) > inner.max_length:
        return False
    return inner.pattern is None or re.search(inner.pattern, text) is not None


def _in_range(value: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    return (
        (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )


def _fits(node: Node, kind: inspect.Type) -> bool:
    """Whether a node is of the kind that a type wants, whatever its contents."""
    inner = kind.type if isinstance(kind, inspect.Metadata) else kind
    if isinstance(node, Mapping):
        return isinstance(inner, inspect.StructType | inspect.DictType)
    if isinstance(node, Items):
        return isinstance(inner, inspect.ListType)
    if isinstance(node, Broken):
        return False
    if isinstance(node.value, bool):
        return isinstance(inner, inspect.BoolType)
    if isinstance(node.value, str):
        return isinstance(inner, inspect.StrType | inspect.LiteralType | inspect.EnumType)
    if isinstance(node.value, int):
        return isinstance(inner, inspect.IntType | inspect.FloatType)
    return isinstance(node.value, float) and isinstance(inner, inspect.FloatType)


def _misspelt(name: str, found: dict[str, Entry], fields: dict[str, inspect.Field]) -> bool:
    """A missing key that stands there under a wrong spelling is one problem, not two."""
    return any(nearest(key, set(fields) - set(found)) == name for key in found if key not in fields)
