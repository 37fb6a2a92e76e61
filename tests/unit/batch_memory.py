"""Search with many queries in one call, and print as JSON how many KiB that took, and its answers' sizes.

The folder that is given holds a pack. Documents are long, so that texts that are held twice show.
"""

import json
import sys
from pathlib import Path

import numpy as np

from routeret.corpus import Corpus
from routeret.retriever import Retriever
from routeret.types import Document

FEW, MANY = 300, 10_000
WORDS = [f"w{number}" for number in range(300)]
DOCUMENTS = [Document(str(number), " ".join(np.roll(WORDS, number)[:40]) + "." * 5_000) for number in range(200)]


def queries(n_queries):
    """Different ones, of words that documents hold."""
    return [f"{WORDS[place % 300]} {WORDS[place * 7 % 300]} {WORDS[place // 300]}" for place in range(n_queries)]


def most_held():
    """The most memory that this process has held so far, in KiB; what ``getrusage`` gives begins with a parent's."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def sizes(answers):
    """The KiB of all hits, and of all texts, each document's once."""
    parts = [one for hits in answers for one in (hits, hits.items, hits.query, *hits.items)]
    numbers = [one for hits in answers for hit in hits for one in (hit.score, hit.span)]
    texts = {hit.id: sys.getsizeof(hit.text) for hits in answers for hit in hits}
    return sum(map(sys.getsizeof, (*parts, *numbers))) // 1024, sum(texts.values()) // 1024


def measured(retriever):
    """What the call took more than what was held before at the most, and the sizes of its answers."""
    before = most_held()
    answers = retriever.search_batch(queries(MANY))
    taken = most_held() - before
    if len(answers) != MANY or {len(hits) for hits in answers} != {10}:
        raise SystemExit(f"found {len(answers)} answers")
    hits, texts = sizes(answers)
    return {"taken": taken, "hits": hits, "texts": texts}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with Retriever.create(folder / "kb", pack=folder / "pack") as retriever:
        retriever.add(Corpus.from_documents(DOCUMENTS))
        # What is loaded or worked out once is so before.
        retriever.search_batch(queries(FEW))
        found = measured(retriever)
    sys.stdout.write(json.dumps(found) + "\n")
