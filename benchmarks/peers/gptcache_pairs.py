"""What GPTCache gives for pairs of questions: run by the Python that has it.

    python gptcache_pairs.py < PAIRS > HITS

PAIRS are lines of JSON, `[one, other, vector of one, vector of other]`. For each pair `one` is put
into an empty cache, with SQLite and FAISS as in GPTCache's own examples, and `other` is asked for
at each of `THRESHOLDS`; HITS has a line for each pair, a list of which thresholds gave the answer.
Its own embeddings come from Hugging Face; it is given those that we use.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

THRESHOLDS = (0.975, 0.95, 0.9, 0.8)
"""`similarity_threshold`; 0.8 is what it comes with. With unit vectors and its distance, which is
squared and of 4 at most, they are cosines from 0.95, 0.9, 0.8 and 0.6 on."""


def hits(index: Path, one: str, other: str, vectors: dict[str, Any]) -> list[bool]:
    """By threshold."""
    from gptcache.adapter import api
    from gptcache.manager import CacheBase, VectorBase, get_data_manager
    from gptcache.processor.pre import get_prompt
    from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation

    from gptcache import Cache, Config

    dimension = len(vectors[one])
    cache, found = Cache(), []
    cache.init(
        pre_embedding_func=get_prompt,
        embedding_func=lambda text, **_: vectors[text],
        data_manager=get_data_manager(
            CacheBase("sqlite", sql_url="sqlite://"),
            VectorBase("faiss", dimension=dimension, index_path=str(index)),
        ),
        similarity_evaluation=SearchDistanceEvaluation(),
    )
    api.put(one, "the answer", cache_obj=cache)
    for threshold in THRESHOLDS:
        cache.config = Config(similarity_threshold=threshold)
        found.append(api.get(other, cache_obj=cache) is not None)
    return found


def main() -> None:
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        for number, line in enumerate(sys.stdin):
            one, other, first, second = json.loads(line)
            vectors = {one: np.array(first, np.float32), other: np.array(second, np.float32)}
            print(json.dumps(hits(Path(folder) / str(number), one, other, vectors)), flush=True)
        os._exit(0)  # else each cache of each pair would write its index


if __name__ == "__main__":
    main()
