"""Write the tiny index that every later version must read; run once for a new format, and never again."""

import shutil
import sys
from pathlib import Path

from routeret.chunking import SentenceWindows
from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.index import Index
from routeret.index.schema import FORMAT
from routeret.types import Document

DOCUMENTS = [
    Document(id="tee", title="Tee", text="Grüner Tee ist mild. Schwarzer Tee ist kräftig.", metadata={"lang": "de"}),
    Document(id="cat", text="The cat sat on the mat.", metadata={"lang": "en", "year": 2020, "tags": ["a", "b"]}),
    Document(id="gone", text="This one is removed."),
    Document(id="title only", title="Only a title", text=""),
]


def main():
    folder = Path(__file__).with_name(f"index-{FORMAT}")
    if folder.exists():
        sys.exit(f"{folder} is there already; what was released must not change")
    encoder = HashingEncoder(dim=16)
    with Index.create(folder, encoder.space, chunker=SentenceWindows(size=30, overlap=0)) as index:
        index.add(Corpus.of(DOCUMENTS), encoder)
        index.delete(["gone"])
        index.upsert(Corpus.of([Document(id="cat", text="The dog sat on the mat.", metadata={"year": 2021})]), encoder)
    for derived in ("fulltext", "ann"):
        shutil.rmtree(folder / derived, ignore_errors=True)
    for lock in folder.glob("*.lock"):
        lock.unlink()


if __name__ == "__main__":
    main()
