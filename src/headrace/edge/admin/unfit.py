"""What is wrong with a body or a query that its form refuses, in sentences that say what to write.

msgspec's own messages name types and patterns; what people need to know is which member, and what
to put there. The types come from `msgspec.inspect`, so a new member needs no words here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
from msgspec import inspect

from headrace.config.words import expected, suggestion

_WHERE = re.compile(r" - at (`key` in )?`\$\.?([^`]*)`$")
_MISSING = re.compile(r"^Object missing required field `([^`]*)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(.*)`$", re.DOTALL)
_LENGTH = re.compile(r"^Expected `(\w+)[^`]*` of length (<=|>=) (\d+)$")
_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]+|\.\.\.)\]")
_LONGEST_NAME = 64
"""Of a member that nobody knows: as much of its name is told again."""
_OBJECT = "an object"
_EMPTY = ">=", "1"
_COUNTED = {"str": "characters", "array": "items", "object": "members"}


@dataclass(frozen=True)
class Unfit:
    """`message` is for whoever sent it; `param` is the member at fault, such as
    `budgets[0].every`, or None for the whole."""

    message: str
    param: str | None


def unfit(error: msgspec.ValidationError, form: type, whole: str) -> Unfit:
    """Of an error that `msgspec` raised for this form. `whole` is what was sent: `body`."""
    said = str(error)
    found = _WHERE.search(said)
    path = found[2] if found is not None else ""
    said = _WHERE.sub("", said)
    kinds = _kinds_at(inspect.type_info(form), path)
    if (missing := _MISSING.match(said)) is not None:
        return _missing(missing[1], path, kinds)
    if (unknown := _UNKNOWN.match(said)) is not None:
        return _unknown(unknown[1], path, kinds, whole)
    subject = f"`{path}`" if path else f"The {whole}"
    if found is not None and found[1]:
        subject = f"A name in {subject}"
        kinds = [one.key_type for one in map(_bare, kinds) if isinstance(one, inspect.DictType)]
    length = _LENGTH.match(said)
    instead = _length(length) if length is not None else f"write {_wanted(kinds)}"
    if whole == "query":  # its texts have no quotes around them
        instead = instead.replace(" in quotes", "").replace('"', "")
    return Unfit(f"{subject} does not fit: {instead}.", path or None)


def _length(found: re.Match[str]) -> str:
    if found.group(2, 3) == _EMPTY:
        return "it is empty"
    bound = "at most" if found[2] == "<=" else "at least"
    return f"write {bound} {found[3]} {_COUNTED.get(found[1], 'items')}"


def _missing(name: str, path: str, kinds: list[inspect.Type]) -> Unfit:
    member = f"{path}.{name}" if path else name
    wanted = _wanted([field.type for field in _fields(kinds) if field.encode_name == name])
    return Unfit(f"`{member}` is missing: write {wanted}.", member)


def _unknown(name: str, path: str, kinds: list[inspect.Type], whole: str) -> Unfit:
    shown = name if name.isprintable() and len(name) <= _LONGEST_NAME else None
    place = f"`{path}`" if path else f"the {whole}"
    known = [field.encode_name for field in _fields(kinds)]
    told = f" `{shown}`" if shown is not None else " of this name"
    hint = suggestion(name[:_LONGEST_NAME], known, "Leave it out.").replace('"', "`")
    member = None if shown is None else f"{path}.{shown}" if path else shown
    noun = "parameter" if whole == "query" else "member"
    return Unfit(f"There is no {noun}{told} in {place}. {hint}", member)


def _kinds_at(kind: inspect.Type, path: str) -> list[inspect.Type]:
    """What may stand at this path; empty where it leads nowhere."""
    kinds = _options(kind)
    for name, index in _STEP.findall(path):
        if index:
            inner = [
                one.item_type if isinstance(one, inspect.ListType) else one.value_type
                for one in map(_bare, kinds)
                if isinstance(one, inspect.ListType | inspect.DictType)
            ]
        else:
            inner = [field.type for field in _fields(kinds) if field.encode_name == name]
        kinds = [option for one in inner for option in _options(one)]
    return kinds


def _options(kind: inspect.Type) -> list[inspect.Type]:
    """The kinds of a union but null and what is left out."""
    if isinstance(kind, inspect.Metadata) and isinstance(kind.type, inspect.UnionType):
        kind = kind.type
    if not isinstance(kind, inspect.UnionType):
        return [kind]
    unsaid = [one for one in kind.types if _is_unset(one) or isinstance(one, inspect.NoneType)]
    return [option for one in kind.types if one not in unsaid for option in _options(one)]


def _is_unset(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.CustomType) and kind.cls is msgspec.UnsetType


def _bare(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _fields(kinds: list[inspect.Type]) -> list[inspect.Field]:
    structs = (one for one in map(_bare, kinds) if isinstance(one, inspect.StructType))
    return [field for struct in structs for field in struct.fields]


def _wanted(kinds: list[inspect.Type]) -> str:
    """What to write where one of these may stand, in the words of JSON."""
    options = [option for kind in kinds for option in _options(kind)]
    return ", or ".join(dict.fromkeys(map(_wanted_one, options))) or "something else"


def _wanted_one(kind: inspect.Type) -> str:
    match _bare(kind):
        case inspect.StructType() | inspect.DictType():
            return _OBJECT
        case inspect.ListType(item_type=item):
            items = _wanted([item])
            return "a list of objects" if items == _OBJECT else f"a list, each item {items}"
        case _:
            return expected(kind)
