"""Makes `src/headrace/gateway/cache/words.json` from WordNet 3.0.

    python -m training.lexicon FOLDER_OF_WORDNET

The folder holds `data.noun`, `index.verb`, `verb.exc` and their kin (Debian: `wordnet-base`).
Two words are alike if they share a synset that is among the first senses of both, and both are
common enough to have been counted in WordNet's tagged texts.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PARTS = {"noun": "1", "verb": "2", "adj": "3", "adv": "4"}
SENSES = {"noun": 1, "verb": 1, "adj": 1, "adv": 1}
"""How many first senses of a word count: with a second one, to buy would be to steal."""
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
        found[fields[0]] = fields[6 + pointers :][: SENSES[part]]
    return found


def members(fields: list[str]) -> list[str]:
    count = int(fields[3], 16)
    return [word.partition("(")[0].lower() for word in fields[4 : 4 + 2 * count : 2]]


def opposites(fields: list[str]) -> Iterator[tuple[int, str, int]]:
    """Place of a word in this synset, the other synset's offset, and the place in that."""
    at = 4 + 2 * int(fields[3], 16)
    for start in range(at + 1, at + 1 + 4 * int(fields[at]), 4):
        if fields[start] == "!":
            places = fields[start + 3]
            yield int(places[:2], 16), fields[start + 1], int(places[2:], 16)


def main(folder: Path) -> None:
    """Writes the words."""
    known = common(folder)
    alike: dict[str, set[str]] = defaultdict(set)
    opposite: dict[str, set[str]] = defaultdict(set)
    for part in PARTS:
        senses = first_senses(folder, part)
        synsets = {fields[0]: fields for fields in lines(folder / f"data.{part}")}
        for offset, fields in synsets.items():
            words = members(fields)
            near = [w for w in words if w in known and "_" not in w and offset in senses.get(w, ())]
            for word in near:
                alike[word].update(other for other in near if other != word)
            for mine, there, theirs in opposites(fields):
                one, other = words[mine - 1], members(synsets[there])[theirs - 1]
                if one in known and other in known:
                    opposite[one].add(other)
                    opposite[other].add(one)
    irregular = {}
    for part in IRREGULAR_PARTS:
        for form, *bases in lines(folder / f"{part}.exc"):
            if bases[0] in known and "_" not in form and form not in irregular:
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
