"""The words of messages: what a type expects, and what a person probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Iterable

from msgspec import inspect

from headrace.config.masking import quoted, shown

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|sec|m|min|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG])(i?)B?", re.IGNORECASE)
_LISTED = 25
"""Choices that one message names: all sections of the file, and all settings of the largest one."""
_SECONDS = (("ms", 0.001), ("sec", 1), ("s", 1), ("min", 60), ("m", 60), ("h", 3600), ("d", 86400))


def nearest(text: str, known: Iterable[str]) -> str | None:
    """The known word that `text` most resembles, if any is close."""
    by_fold = {word.casefold(): word for word in known}
    found = difflib.get_close_matches(text.casefold(), by_fold, n=1, cutoff=0.55)
    if found:
        return by_fold[found[0]]
    start = text.casefold()
    same_start = [
        w for w in by_fold if len(start) > 2 and (w.startswith(start) or start.startswith(w))
    ]
    return by_fold[max(same_start, key=len)] if same_start else None


def suggestion(
    text: str, known: Iterable[str], none: str, written: Container[str] = frozenset()
) -> str:
    """`Did you mean "x"?`, or all the choices, or the sentence `none` if there are none. Nobody
    meant what is `written` already."""
    words = sorted(known)
    close = nearest(text, (word for word in words if word not in written))
    if close is not None:
        return f"Did you mean {quoted(close)}?"
    if not words:
        return none
    listed = ", ".join(map(shown, words[:_LISTED])) + (", ..." if len(words) > _LISTED else "")
    return f"Known here: {listed}."


def expected(kind: inspect.Type) -> str:
    """What to write for a value of this type, such as `a whole number from 0 to 65535`."""
    named = None
    if isinstance(kind, inspect.Metadata):
        named = (kind.extra_json_schema or {}).get("description")
        kind = kind.type
    match kind:
        case inspect.IntType():
            return _ranged(named or "a whole number", kind)
        case inspect.FloatType():
            return _ranged(named or "a number", kind)
        case inspect.BoolType():
            words = "true or false"
        case inspect.StrType(pattern=pattern):
            words = "text" if pattern is None else f"text of the form `{pattern}`"
        case inspect.LiteralType(values=values):
            words = _either([str(value) for value in values])
        case inspect.EnumType(cls=cls):
            words = _either([str(member.value) for member in cls])
        case inspect.ListType(item_type=inspect.ListType(item_type=item)):
            words = f"a list of lists as in `[[a, b], [c]]`, each item {expected(item)}"
        case inspect.ListType(item_type=item):
            words = f"a list as in `[a, b]`, each item {expected(item)}"
        case inspect.DictType(value_type=value) if not _settings(value):
            words = f"names as in `NAME: ...`, each with {expected(value)}"
        case inspect.DictType():
            words = "names with their settings, as in `NAME: {...}`"
        case inspect.StructType():
            words = "settings, as in `KEY: VALUE`, on lines of their own"
        case inspect.UnionType(types=types):
            options = [expected(t) for t in types if not isinstance(t, inspect.NoneType)]
            words = " or ".join(dict.fromkeys(options))
        case _:
            words = "a value"
    return named or words


def also_number(kind: inspect.Type) -> bool:
    """Text that may be written as a number, of which each digit counts; also where it may be left
    out."""
    if isinstance(kind, inspect.UnionType):
        return any(map(also_number, kind.types))
    return isinstance(kind, inspect.Metadata) and bool((kind.extra or {}).get("number"))


def _settings(kind: inspect.Type) -> bool:
    """Whether what stands there are settings, of one sort or of several."""
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return all(isinstance(one, inspect.StructType) for one in kinds)


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _ranged(words: str, kind: inspect.IntType | inspect.FloatType) -> str:
    """The words with the range, unless they say it already."""
    low, high = _low(kind), _high(kind)
    if kind.ge is not None and kind.le is not None:
        bounds = f" from {kind.ge} to {kind.le}"
    else:
        bounds = (f" {low}" if low else "") + (" and" if low and high else "")
        bounds += f" {high}" if high else ""
    return words if words.endswith(bounds) else words + bounds


def _low(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.gt is not None:
        return f"above {kind.gt}"
    return f"of at least {kind.ge}" if kind.ge is not None else ""


def _high(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.lt is not None:
        return f"below {kind.lt}"
    if kind.le is None:
        return ""
    return f"at most {kind.le}" if _low(kind) else f"of at most {kind.le}"


def as_number(written: str, whole: bool) -> str | None:
    """The plain number that `30s`, `5m`, `20MiB` or `1e3` stands for, or None."""
    text = written.strip()
    number: float | None = None
    if found := _DURATION.fullmatch(text):
        number = float(found.group(1)) * dict(_SECONDS)[found.group(2)]
    elif found := _SIZE.fullmatch(text):
        power = "KMG".index(found.group(2).upper()) + 1
        number = float(found.group(1)) * (1024 if found.group(3) else 1000) ** power
    else:
        try:
            number = float(text.replace("_", "").replace(",", ""))
        except ValueError:
            return None
    if number != number or abs(number) > 1e15:
        return None
    if number == int(number):
        return str(int(number))
    return None if whole else f"{number:g}"
