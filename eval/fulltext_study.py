"""Measures the engines that can search full text; docs/decisions/0009-full-text-engine.md rests on it.

    python eval/fulltext_study.py --data nfcorpus wikiqa --documents 1000000 --output eval/results/fulltext/study.json

Speed: synthetic documents whose words follow Zipf's law (the n-th most frequent of 400,000 words comes with a chance
in proportion to 1 / (n + 30); with chance 0.35 a word repeats an earlier one of its document), 80 words each with
standard deviation 20, like abstracts without their stop words. A query is 10 or 20 different words of a document that
is not among them. Every engine runs in a process of its own, with one thread and the same words. Times are given by the
clock and, since other processes may be running (see ``load``), by the processor too.

Quality: nDCG@10 of the 100 best documents on the test split of each data set, as a report of how far engines differ;
nothing is chosen by it.
"""

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from routeret.artifact import write_json
from routeret.datasets import load_dataset
from routeret.index.lexical import PARAMETERS, Covered, Fulltext, build, covered_of, update
from routeret.index.lexical.engine import Candidates, add_documents
from routeret.index.lexical.scoring import rarity
from routeret.index.lexical.tokens import COUNT_BITS, Tokenizer
from routeret.measures import NDCG, mean_measures, measure

N_WORDS = 400_000
DEPTH = 100
QUERY_WORDS = (10, 20)
SHARES = (1.0, 0.5, 0.1, 0.01, 0.001, 0.0001)
REMOVED = (10_000, 100_000)
_BLOCK = 10_000
_SLOW_MS = 1000

Hits = tuple[list[int], list[float]]


class Texts(Protocol):
    """A list of texts, or what makes them anew at every pass."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...


class Engine(Protocol):
    """What is measured, by one interface; documents are numbered from 0 in the order in which they come."""

    def build(self, texts: Texts, folder: Path) -> None:
        """Index texts and keep them in a folder, which exists and is empty."""

    def open(self, folder: Path) -> None:
        """Make ready to search what a folder holds."""

    def search(self, query: str, k: int) -> Hits:
        """The numbers and scores of the best documents that hold a word of the query, best first."""


class Routeret:
    """tantivy finds candidates, and the terms of the documents give exact scores."""

    fulltext: Fulltext

    def build(self, texts: Texts, folder: Path) -> None:
        build(folder / "fulltext", enumerate(texts), covered=Covered(0, len(texts)))

    def open(self, folder: Path) -> None:
        self.open_without(folder, removed=np.zeros(0, dtype=np.int64))

    def open_without(self, folder: Path, *, removed: np.ndarray) -> None:
        covered = covered_of(folder / "fulltext")
        if covered is None:
            raise SystemExit(f"{folder} holds no full text")
        self.fulltext = Fulltext.open(
            folder / "fulltext", generation=0, n_documents=covered.n_documents, removed=removed
        )

    def search(self, query: str, k: int) -> Hits:
        found = self.fulltext.search(query, k)
        return found.numbers.tolist(), found.scores.tolist()

    def change(self, number: int, text: str, folder: Path) -> None:
        update(folder / "fulltext", [(number, text)], covered=Covered(0, number + 1))


class Tantivy:
    """tantivy alone, which keeps the length of a document in one byte."""

    candidates: Candidates

    def build(self, texts: Texts, folder: Path) -> None:
        tokenizer = Tokenizer()
        entries = (np.array(tokenizer.entries(text)[0], dtype=np.uint64) for text in texts)
        add_documents(folder, enumerate(entries))

    def open(self, folder: Path) -> None:
        self.candidates = Candidates(folder)
        self.tokenizer = Tokenizer()

    def search(self, query: str, k: int) -> Hits:
        terms, counts = self.tokenizer.query(query)
        weights = counts * rarity(self.candidates.n_with(terms), n_documents=len(self.candidates))
        numbers, scores = self.candidates.best(terms, weights, k)
        return numbers.tolist(), scores.tolist()

    def change(self, number: int, text: str, folder: Path) -> None:
        entries, _ = Tokenizer().entries(text)
        add_documents(folder, [(number, np.array(entries, dtype=np.uint64))])


class Bm25s:
    """bm25s: every score of every term, worked out when the index is built."""

    def build(self, texts: Texts, folder: Path) -> None:
        import bm25s

        tokenizer = Tokenizer()
        number_by_term: dict[int, int] = {}
        documents = [
            [number_by_term.setdefault(term, len(number_by_term)) for term in _terms(tokenizer, text)] for text in texts
        ]
        bm25 = bm25s.BM25(k1=PARAMETERS["k1"], b=PARAMETERS["b"], method=PARAMETERS["method"])
        vocabulary = {str(term): number for term, number in number_by_term.items()}
        bm25.index((documents, vocabulary), create_empty_token=False, show_progress=False)
        bm25.save(folder, allow_pickle=False, show_progress=False)

    def open(self, folder: Path) -> None:
        import bm25s

        self.bm25 = bm25s.BM25.load(folder, mmap=True, allow_pickle=False, show_progress=False)
        self.tokenizer = Tokenizer()

    def search(self, query: str, k: int) -> Hits:
        known = self.bm25.get_tokens_ids([str(term) for term in _terms(self.tokenizer, query)])
        if not known:
            return [], []
        scores = self.bm25.get_scores_from_ids(known)
        matches = np.flatnonzero(scores > (0 if k >= len(scores) else np.partition(scores, -k)[-k] * (1 - 1e-6)))
        best = matches[np.lexsort((matches, -scores[matches]))][:k]
        return best.tolist(), scores[best].tolist()


class Fts5:
    """SQLite FTS5 without a copy of the texts; its idf is another one."""

    def build(self, texts: Texts, folder: Path) -> None:
        with _database(folder) as database:
            database.execute("create virtual table words using fts5(terms, content='', columnsize=1)")
            tokenizer = Tokenizer()
            rows = ((number, _joined(tokenizer, text)) for number, text in enumerate(texts))
            database.executemany("insert into words(rowid, terms) values (?, ?)", rows)

    def open(self, folder: Path) -> None:
        self.database = _database(folder)
        self.tokenizer = Tokenizer()

    def search(self, query: str, k: int) -> Hits:
        terms, _ = self.tokenizer.query(query)
        if not len(terms):
            return [], []
        found = self.database.execute(
            "select rowid, -bm25(words) from words where words match ? order by bm25(words), rowid limit ?",
            (" OR ".join(f"t{term}" for term in terms.tolist()), k),
        ).fetchall()
        return [number for number, _ in found], [score for _, score in found]

    def change(self, number: int, text: str, folder: Path) -> None:
        with _database(folder) as database:
            row = (number, _joined(Tokenizer(), text))
            database.execute("insert into words(rowid, terms) values (?, ?)", row)


ENGINES: dict[str, Callable[[], Engine]] = {
    "routeret": Routeret,
    "tantivy alone": Tantivy,
    "bm25s": Bm25s,
    "sqlite fts5": Fts5,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What the full-text engines cost and how far they differ.")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="BEIR folders with a test split")
    parser.add_argument("--documents", type=int, default=1_000_000, help="how many synthetic documents")
    parser.add_argument("--queries", type=int, default=300, help="how many synthetic queries")
    parser.add_argument("--engines", nargs="*", choices=sorted(ENGINES), default=list(ENGINES), help="whose speed")
    parser.add_argument("--output", type=Path, required=True, help="what is not measured again stays as it is there")
    parser.add_argument("--print", choices=sorted(ENGINES), help="only print the speed of one engine")
    arguments = parser.parse_args()
    if arguments.print:
        print(json.dumps(speed(arguments.print, n_documents=arguments.documents, n_queries=arguments.queries)))
        return
    older = json.loads(arguments.output.read_text()) if arguments.output.exists() else {"speed": {}, "ndcg@10": {}}
    results = {
        "parameters": PARAMETERS,
        "versions": {name: version(name) for name in ("tantivy", "bm25s", "numpy")}
        | {"sqlite": sqlite3.sqlite_version},
        "speed": older["speed"] | {name: speed_in_own_process(name, arguments) for name in arguments.engines},
        "ndcg@10": older["ndcg@10"] | {folder.resolve().name: quality(folder) for folder in arguments.data},
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.output, results)


def speed_in_own_process(engine: str, arguments: argparse.Namespace) -> dict[str, Any]:
    print(f"measuring {engine}", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--print", engine, "--documents", str(arguments.documents)]
    command += ["--queries", str(arguments.queries), "--output", str(arguments.output)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(command, env=one_thread, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def speed(name: str, *, n_documents: int, n_queries: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        engine = ENGINES[name]()
        texts = SyntheticTexts(n_documents, seed=0)
        generating = seconds(lambda: sum(1 for _ in texts))
        building = seconds(lambda: engine.build(texts, folder))
        first_query = synthetic_queries(20, 1)[0]
        results: dict[str, Any] = {
            "documents": n_documents,
            "load": round(os.getloadavg()[0], 1),
            "build_seconds": round(building - generating, 1),
            "build_peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "disk_mib": round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20),
            "open_ms": round(1000 * seconds(lambda: engine.open(folder)), 1),
            "first_search_ms": round(1000 * seconds(lambda: engine.search(first_query, DEPTH)), 1),
        }
        for n_words in QUERY_WORDS:
            queries = synthetic_queries(n_words, n_queries)
            for k in (10, DEPTH):
                results[f"search_{n_words}_words_top_{k}_ms"] = timed(
                    lambda query, k=k: engine.search(query, k), queries
                )
        if isinstance(engine, Routeret):
            results |= more_about(engine, folder, n_documents=n_documents)
        if isinstance(engine, Routeret | Tantivy | Fts5):
            more = iter(enumerate(SyntheticTexts(55, seed=3), start=n_documents))
            results["commit_one_document_ms"] = timed(lambda one: engine.change(one[0], one[1], folder), list(more))
        return results


def more_about(engine: Routeret, folder: Path, *, n_documents: int) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    queries = synthetic_queries(20, 60)
    numbers = rng.choice(n_documents, min(DEPTH, n_documents), replace=False)
    results: dict[str, Any] = {
        f"scores_of_{DEPTH}_ms": timed(lambda query: engine.fulltext.scores_of(query, numbers), queries)
    }
    for share in SHARES:
        is_allowed = rng.random(n_documents) < share
        results[f"filter_{share:g}_ms"] = timed(
            lambda query, is_allowed=is_allowed: engine.fulltext.search(query, DEPTH, allowed=is_allowed), queries
        )
    for n_removed in (count for count in REMOVED if count < n_documents):
        engine.open_without(folder, removed=rng.choice(n_documents, n_removed, replace=False))
        first = seconds(lambda: engine.search(queries[0], DEPTH))
        results[f"removed_{n_removed}_first_search_ms"] = round(1000 * first, 1)
        results[f"removed_{n_removed}_ms"] = timed(lambda query: engine.search(query, DEPTH), queries)
    return results


def quality(folder: Path) -> dict[str, float]:
    dataset = load_dataset(folder)
    print(f"searching {dataset.name}", file=sys.stderr, flush=True)
    documents = dataset.load_documents()
    texts = [f"{document.title} {document.text}" for document in documents]
    queries, qrels = dataset.split("test")
    values = {}
    for name, make in ENGINES.items():
        with tempfile.TemporaryDirectory() as temporary:
            engine = make()
            engine.build(texts, Path(temporary))
            engine.open(Path(temporary))
            run = {}
            for query_id, text in queries.items():
                numbers, scores = engine.search(text, DEPTH)
                run[query_id] = {documents[n].id: score for n, score in zip(numbers, scores, strict=True)}
            values[name] = round(mean_measures(measure(run, qrels))[NDCG], 5)
    return values


@dataclass(frozen=True)
class SyntheticTexts:
    n_documents: int
    seed: int

    def __len__(self) -> int:
        return self.n_documents

    def __iter__(self) -> Iterator[str]:
        rng = np.random.default_rng(self.seed)
        words = np.array([_word(rank) for rank in range(N_WORDS)], dtype=object)
        chances = np.cumsum(1 / (np.arange(N_WORDS) + 30))
        for start in range(0, self.n_documents, _BLOCK):
            lengths = rng.normal(80, 20, min(_BLOCK, self.n_documents - start)).clip(10, 200).astype(np.int64)
            ranks = np.searchsorted(chances, rng.random(lengths.sum()) * chances[-1])
            starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
            earlier = starts + (rng.random(len(ranks)) * (np.arange(len(ranks)) - starts)).astype(np.int64)
            ranks = np.where(rng.random(len(ranks)) < 0.35, ranks[earlier], ranks)
            for document in np.split(ranks, np.cumsum(lengths)[:-1]):
                yield " ".join(words[document])


def synthetic_queries(n_words: int, n_queries: int) -> list[str]:
    rng = np.random.default_rng(5)
    queries = []
    for text in SyntheticTexts(20 * n_queries, seed=6):
        words = list(dict.fromkeys(text.split()))
        if len(words) >= max(QUERY_WORDS):
            queries.append(" ".join(rng.choice(words, max(QUERY_WORDS), replace=False)[:n_words]))
        if len(queries) == n_queries:
            break
    return queries


def seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def timed(step: Callable[[Any], object], arguments: list[Any]) -> dict[str, float]:
    """Milliseconds a call; a few calls go before, and slow engines get fewer."""
    warm = [1000 * seconds(lambda argument=argument: step(argument)) for argument in arguments[:5]]
    rest = arguments[5:] if max(warm) < _SLOW_MS else arguments[5:50]
    by_clock, by_processor = [], []
    for argument in rest:
        start = time.process_time()
        by_clock.append(1000 * seconds(lambda argument=argument: step(argument)))
        by_processor.append(1000 * (time.process_time() - start))
    p50, p99 = np.percentile(by_clock, [50, 99])
    cpu_p50, cpu_p99 = np.percentile(by_processor, [50, 99])
    values = {"p50": p50, "p99": p99, "max": max(by_clock), "cpu_p50": cpu_p50, "cpu_p99": cpu_p99}
    return {name: round(float(value), 2) for name, value in values.items()} | {"calls": len(rest)}


def _word(rank: int) -> str:
    """A word of its own for every rank, with an ending that no stemmer takes off."""
    word = ""
    while True:
        rank, syllable = divmod(rank, 100)
        word += "bcdfghjklmnpqrstvwxz"[syllable // 5] + "aeiou"[syllable % 5]
        if not rank:
            return word + "x"


def _terms(tokenizer: Tokenizer, text: str) -> list[int]:
    entries, _ = tokenizer.entries(text)
    mask = (1 << COUNT_BITS) - 1
    return [entry >> COUNT_BITS for entry in entries for _ in range(entry & mask)]


def _joined(tokenizer: Tokenizer, text: str) -> str:
    return " ".join(f"t{term}" for term in _terms(tokenizer, text))


def _database(folder: Path) -> sqlite3.Connection:
    database = sqlite3.connect(folder / "words.sqlite")
    database.execute("pragma journal_mode=wal")
    return database


if __name__ == "__main__":
    main()
