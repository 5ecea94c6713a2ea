"""Makes `src/headrace/gateway/cache/words.json` from WordNet 3.0.

    python -m training.lexicon FOLDER_OF_WORDNET

The folder holds `data.noun`, `index.verb`, `verb.exc` and their kin (Debian: `wordnet-base`).
Two words that are common enough to have been counted in WordNet's tagged texts are alike if

- they share a synset that is the first sense of both;
- one is derived from the other (`renew`, `renewal`; `quick`, `quickly`), and is not who does it
  (`teach`, `teacher`) nor what lacks it (`harm`, `harmless`).
"""

from __future__ import annotations

import itertools
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

PARTS = {"noun": "1", "verb": "2", "adj": "3", "adv": "4"}
SENSES = 1
"""How many first senses of a word count: with a second one, to buy would be to steal."""
DERIVED, BY_FORM, SAME_STEM = "+", "\\", 4
DOERS_AND_LACKS = ("er", "or", "ist", "ian", "ess", "eer", "less", "ship", "hood", "able", "ible")
OUT = Path(__file__).parent.parent / "src/headrace/gateway/cache/words.json"
IRREGULAR_PARTS = ("verb", "noun")

Synset = tuple[str, str]


def lines(path: Path) -> Iterator[list[str]]:
    """Fields of each line but the licence's."""
    for line in path.read_text().splitlines():
        if line and not line.startswith("  "):
            yield line.split(" ")


def common(folder: Path) -> set[str]:
    """Words that WordNet's tagged texts hold."""
    return {fields[0].partition("%")[0] for fields in lines(folder / "cntlist.rev")}


def first_senses(folder: Path, part: str) -> dict[str, list[str]]:
    """Offsets of synsets by word, the most frequent sense first."""
    found = {}
    for fields in lines(folder / f"index.{part}"):
        pointers = int(fields[3])
        found[fields[0]] = fields[6 + pointers :][:SENSES]
    return found


def members(fields: list[str]) -> list[str]:
    count = int(fields[3], 16)
    return [word.partition("(")[0].lower() for word in fields[4 : 4 + 2 * count : 2]]


def pointers(fields: list[str]) -> Iterator[tuple[str, str, str, int, int]]:
    """Kind, the other synset's offset and part, and the places of the two words in their synsets:
    0 if it is said of all of them."""
    at = 4 + 2 * int(fields[3], 16)
    for start in range(at + 1, at + 1 + 4 * int(fields[at]), 4):
        kind, offset, part, places = fields[start : start + 4]
        yield kind, offset, part, int(places[:2], 16), int(places[2:], 16)


class Lexicon:
    """What WordNet says of common words."""

    def __init__(self, folder: Path) -> None:
        self.known = {word for word in common(folder) if "_" not in word}
        self.senses = {part: first_senses(folder, part) for part in PARTS}
        self.synsets = {
            part: {fields[0]: fields for fields in lines(folder / f"data.{part}")} for part in PARTS
        }

    def alike(self, part: str, offset: str) -> list[str]:
        """Common words of a synset that is their first sense."""
        known, places = self.known, self.senses[part]
        words = members(self.synsets[part][offset])
        return [word for word in words if word in known and offset in places.get(word, ())]

    def told(self) -> Iterator[tuple[str, str, str]]:
        """Kind of pointer, a word, and the other."""
        names = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}
        for synsets in self.synsets.values():
            for fields in synsets.values():
                own = members(fields)
                for kind, there, other, mine, theirs in pointers(fields):
                    far = names[other]
                    if mine and theirs:
                        one, two = own[mine - 1], members(self.synsets[far][there])[theirs - 1]
                        if one in self.known and two in self.known:
                            yield kind, one, two


def derived(one: str, other: str) -> bool:
    """Of two words that WordNet derives from each other: not who does it, nor what lacks it."""
    short, long = sorted((one, other), key=len)
    stem = min(SAME_STEM, len(short))
    return short[:stem] == long[:stem] and not long.endswith(DOERS_AND_LACKS)


def main(folder: Path) -> None:
    """Writes the words."""
    lexicon = Lexicon(folder)
    alike: dict[str, set[str]] = defaultdict(set)
    opposite: dict[str, set[str]] = defaultdict(set)

    def put(pairs: Iterable[tuple[str, str]]) -> None:
        for one, other in pairs:
            if one != other:
                alike[one].add(other)
                alike[other].add(one)

    for part, synsets in lexicon.synsets.items():
        for offset in synsets:
            put(itertools.combinations(lexicon.alike(part, offset), 2))
    for kind, one, other in lexicon.told():
        if kind == "!":
            opposite[one].add(other)
            opposite[other].add(one)
        elif kind in (DERIVED, BY_FORM) and derived(one, other):
            put([(one, other)])
    irregular = {}
    for part in IRREGULAR_PARTS:
        for form, *bases in lines(folder / f"{part}.exc"):
            if bases[0] in lexicon.known and "_" not in form and form not in irregular:
                irregular[form] = bases[0]
    for word, others in alike.items():
        others -= opposite.get(word, set())
    made = {
        "source": "WordNet 3.0, Copyright 2006 by Princeton University. All rights reserved.",
        "alike": {word: sorted(others) for word, others in sorted(alike.items()) if others},
        "opposite": {word: sorted(others) for word, others in sorted(opposite.items())},
        "irregular": dict(sorted(irregular.items())),
    }
    OUT.write_text(json.dumps(made, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
