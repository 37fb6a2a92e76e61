"""Write the tiny indexes that every later version must read; those that are there stay as they are."""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from word_tokens import WordTokens

from routeret.chunking import SentenceWindows
from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.index import Index
from routeret.index.schema import FORMAT, TOKENS_FORMAT
from routeret.types import Document

DOCUMENTS = [
    Document(id="tee", title="Tee", text="Grüner Tee ist mild. Schwarzer Tee ist kräftig.", metadata={"lang": "de"}),
    Document(id="cat", text="The cat sat on the mat.", metadata={"lang": "en", "year": 2020, "tags": ["a", "b"]}),
    Document(id="gone", text="This one is removed."),
    Document(id="title only", title="Only a title", text=""),
]


def main():
    for number in (FORMAT, TOKENS_FORMAT):
        folder = Path(__file__).with_name(f"index-{number}")
        # What was released must not change.
        if not folder.exists():
            write(folder, with_tokens=number == TOKENS_FORMAT)


def write(folder, *, with_tokens):
    encoders = [HashingEncoder(dim=16)]
    with Index.create(folder, encoders[0].space, chunker=SentenceWindows(size=30, overlap=0)) as index:
        if with_tokens:
            for storage, dim in (("fp16", 6), ("int8", 4)):
                encoders.append(WordTokens(dim=dim))
                index.add_space(encoders[-1], tokens=storage)
        index.add(Corpus.of(DOCUMENTS), encoders)
        index.delete(["gone"])
        index.upsert(Corpus.of([Document(id="cat", text="The dog sat on the mat.", metadata={"year": 2021})]), encoders)
    for derived in ("fulltext", "ann"):
        shutil.rmtree(folder / derived, ignore_errors=True)
    for lock in folder.glob("*.lock"):
        lock.unlink()


if __name__ == "__main__":
    main()
