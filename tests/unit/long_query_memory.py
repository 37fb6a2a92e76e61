"""Search with long queries, one after the other, and print as JSON how many bytes each took for a byte of its text.

The folder that is given is a retriever's.
"""

import json
import sys

from batch_memory import most_held

from routeret.retriever import Retriever

N_CHARACTERS = 100_000
REPEATED = {
    "words": "bank card river ",
    "東京": "東京",
    "different words": " ".join(f"w{number}" for number in range(20_000)),
    "one word": "b",
    "blanks": " ",
    "clouds": "🌧",
}


def long(text):
    """A query of a hundred thousand characters that repeats a text and ends with a word."""
    n_repeats = N_CHARACTERS // len(text) + 1
    return (text * n_repeats)[: N_CHARACTERS - 5] + " bank"


if __name__ == "__main__":
    taken = {}
    with Retriever.open(sys.argv[1]) as retriever:
        retriever.warm()
        for name, text in REPEATED.items():
            query = long(text)
            before = most_held()
            hits = retriever.search(query)
            taken[name] = (most_held() - before) * 1024 / len(query.encode())
            if len(hits) != 10 or len(query) != N_CHARACTERS:
                raise SystemExit(f"found {len(hits)} hits for {len(query)} characters")
    sys.stdout.write(json.dumps(taken) + "\n")
