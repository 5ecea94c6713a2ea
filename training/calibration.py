"""Measures what the guard's verdicts are worth before there is feedback: writes
`src/headrace/gateway/cache/calibration.json`.

    python -m training.calibration JUDGED.jsonl.gz REQUESTS.jsonl.gz

See `training/pairs.py` for the files. Of pairs that the guard lets pass, those that ask the same
and those that do not are counted by steps of the cosine. Only halves count that no rule was written
beside: the guard makes no mistake on the others.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from headrace.gateway.cache import guard
from headrace.gateway.cache.bound import STEPS, step_of
from training.pairs import asked, embedder, judged, neighbours

OUT = Path(__file__).parent.parent / "src/headrace/gateway/cache/calibration.json"


def main(judged_file: Path, requests_file: Path) -> None:
    """Measures and writes."""
    embed = embedder()
    right, wrong = [0] * STEPS, [0] * STEPS
    for pair in (
        *judged(judged_file, embed, test=True),
        *asked(embed, test=True),
        *neighbours(requests_file, embed, test=True),
    ):
        if guard.judge(pair.one, pair.other, pair.cosine).allowed:
            (right if pair.same else wrong)[step_of(pair.cosine)] += 1
    text = {
        "measured_on": "SemEval 2016 question pairs, CLINC150, data/asked.txt: what was held out",
        "right": right,
        "wrong": wrong,
    }
    OUT.write_text(json.dumps(text) + "\n")
    print(OUT.read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
