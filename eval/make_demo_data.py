"""Cut the demo's corpora out of eval/data: python eval/make_demo_data.py [OUT].

Every document and query keeps its line byte for byte. A set gets some of its test queries, all documents that are
relevant to them, and documents drawn at random around them. The same seed draws the same lines on every machine.
"""

import gzip
import json
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SEED = 7
ROOT = Path(__file__).parent.parent
HEADER = "query-id\tcorpus-id\tscore\n"

# Encyclopedia and drug pages whose publishers reserve their rights stay out of the package.
RESERVED = ("lq_ADAM", "lq_MPlusDrugs", "lq_MPlusHerbs")


@dataclass(frozen=True)
class Cut:
    """How much of a set the demo keeps.

    Attributes:
        n_documents: at least this many.
        n_queries: by split.
        max_words: longer documents are left out, and with them the queries they are relevant to.
        n_groups: keep the queries of this many groups of queries with the same relevant documents; None: of all.
        allowed: whether a document, by its id, may be kept.
    """

    n_documents: int
    n_queries: dict[str, int] = field(default_factory=lambda: {"test": 40})
    max_words: int = 200
    n_groups: int | None = None
    allowed: Callable[[str], bool] = lambda _: True


CUTS = {
    "acl_citances": Cut(200, max_words=140),
    "amazon_google": Cut(225),
    "attack_ttp": Cut(200, max_words=150),
    "banking77": Cut(250, max_words=60, n_groups=15),
    "esco_titles": Cut(225),
    "medquad_liveqa": Cut(
        200, n_queries={"test": 38}, max_words=320, allowed=lambda document_id: not document_id.startswith(RESERVED)
    ),
    "tldr_cli": Cut(225),
    "tatqa": Cut(400, n_queries={"train": 100, "test": 150}),
}


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "routeret" / "demo_data"
    for name, cut in CUTS.items():
        write_set(ROOT / "eval" / "data" / name, cut, out=out / name)


def write_set(source: Path, cut: Cut, *, out: Path) -> None:
    """Write the cut of one set as a BEIR folder."""
    random = np.random.default_rng(SEED)
    documents = read_lines(source / "corpus.jsonl.gz")
    short = {one for one, line in documents.items() if n_words(line) <= cut.max_words and cut.allowed(one)}
    chosen = {split: choose(source, split, n, short, cut, random) for split, n in cut.n_queries.items()}
    kept = {document for qrels in chosen.values() for grades in qrels.values() for document in grades}
    others = sorted(short - kept)
    n_others = min(len(others), max(0, cut.n_documents - len(kept)))
    kept.update(random.choice(others, size=n_others, replace=False).tolist())

    shutil.rmtree(out, ignore_errors=True)
    (out / "qrels").mkdir(parents=True)
    write_lines(out / "corpus.jsonl.gz", (line for one, line in documents.items() if one in kept))
    queries = read_lines(source / "queries.jsonl.gz")
    asked = {query for qrels in chosen.values() for query in qrels}
    write_lines(out / "queries.jsonl.gz", (line for one, line in queries.items() if one in asked))
    for split, qrels in chosen.items():
        lines = [f"{query}\t{one}\t{grade}\n" for query, grades in qrels.items() for one, grade in grades.items()]
        (out / "qrels" / f"{split}.tsv").write_text(HEADER + "".join(lines))
    print(out.name, len(kept), "documents,", {split: len(qrels) for split, qrels in chosen.items()}, "queries")


def choose(
    source: Path, split: str, n: int, short: set[str], cut: Cut, random: np.random.Generator
) -> dict[str, dict[str, int]]:
    """The relevant documents, with their grades, of n queries of a split."""
    relevant: dict[str, dict[str, int]] = {}
    for line in (source / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0 and cut.allowed(document):
            relevant.setdefault(query, {})[document] = int(grade)
    whole = sorted(query for query, grades in relevant.items() if short.issuperset(grades))
    if cut.n_groups is not None:
        groups = sorted({tuple(sorted(relevant[query])) for query in whole})
        taken = {groups[position] for position in random.choice(len(groups), size=cut.n_groups, replace=False)}
        whole = [query for query in whole if tuple(sorted(relevant[query])) in taken]
    asked = random.choice(whole, size=min(n, len(whole)), replace=False).tolist()
    return {query: relevant[query] for query in sorted(asked)}


def read_lines(path: Path) -> dict[str, bytes]:
    """Every line by the id in it."""
    return {json.loads(line)["_id"]: line for line in gzip.decompress(path.read_bytes()).splitlines(keepends=True)}


def n_words(line: bytes) -> int:
    document = json.loads(line)
    return len(f"{document.get('title', '')} {document['text']}".split())


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write a gzip file without a time in it, so that the same lines are the same file."""
    content = b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
