"""Measures what routing adds to a query in a large pool: 50 experts of 50 training corpora, drawn at random.

    python eval/routing_time.py --out eval/results/router/time.json

Routing is what comes to a decision behind the base's first search: whose documents the first hits are, and what every
expert is worth on them. Whose a document is gets looked up once and is kept, so every query is decided twice: with the
look-up of what no query had found before, and without. What follows from a decision is timed apart: mixing, that is the
query vector and what documents are lowered by, and explaining, the names and words that are found when somebody looks.
All is compared, query by query in the same run, with encoding the query by the shipped base model, which every search
does anyway. Memory is what the process grows by while the router is opened and decides for the first time; pilots are
not read for that.
"""

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from routeret.artifact import write_json
from routeret.corpus import Corpus
from routeret.datasets import load_dataset
from routeret.encoders import load_encoder
from routeret.encoders.hashing import HashingEncoder
from routeret.evaluation.provenance import installed_versions
from routeret.experts import LinearExpert
from routeret.experts.sketch import TrainingSketch
from routeret.index import Index
from routeret.retriever.pool import Pool
from routeret.retriever.results import explained
from routeret.retriever.searching import Block, Searcher
from routeret.routing import STRENGTHS, PilotCorpus, PilotLibrary, UtilityRouter
from routeret.types import Document

N_EXPERTS = 50
N_PILOTS = 300
N_DOCUMENTS = 20_000
N_KNOWN = 2_000
DIM = 384
WORDS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("eval/data/banking77"), help="queries that the base encodes")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    encoder = HashingEncoder(dim=DIM)
    documents = [Document(id=str(number), text=random_text(rng)) for number in range(N_DOCUMENTS)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        UtilityRouter.fit(pilots(rng, encoder), names()).save(folder / "router")
        with Index.create(folder / "index", encoder.space) as index:
            index.add(Corpus.of(documents), [encoder])
            found = measured(index, folder / "router", documents, encoder, options, rng)
    write_json(options.out, {**found, "versions": installed_versions()})
    for name, value in found.items():
        print(f"{name}: {value}")


def measured(
    index: Index,
    router_folder: Path,
    documents: list[Document],
    encoder: HashingEncoder,
    options: argparse.Namespace,
    rng: np.random.Generator,
) -> dict:
    experts = tuple(expert(number, documents, encoder, rng) for number in range(N_EXPERTS))
    texts, _ = load_dataset(options.data).split("test")
    queries = list(texts.values())[: options.queries]
    base = load_encoder("all-MiniLM-L6-v2")
    searches = [random_text(rng) for _ in queries]
    vectors = encoder.encode_queries(searches)
    # What a search needs anyway is in memory before.
    searched(Searcher(index, Pool(encoder)), searches[0], vectors[:1])
    gc.collect()
    before = resident_bytes()
    pool = Pool(encoder, experts, UtilityRouter.load(router_folder))
    searcher = Searcher(index, pool)
    searcher.route(searched(searcher, searches[0], vectors[:1]))
    gc.collect()
    grown = resident_bytes() - before
    encoding, first, again, mixing, explaining = ([] for _ in range(5))
    for number, query in enumerate(queries):
        with clocked(encoding):
            base.encode_queries([query])
        for seconds in (first, again):
            block = searched(searcher, searches[number], vectors[number : number + 1])
            with clocked(seconds):
                routing = searcher.route(block)
                (told,) = explained(routing, base=block.batch.base, pilots=searcher.pilots)
        with clocked(mixing):
            searcher.standing(block, routing)
            searcher.query_vectors(block.batch, routing)
        with clocked(explaining):
            _ = told.weights
    return {
        "n_experts": N_EXPERTS,
        "n_corpora": N_EXPERTS,
        "n_documents": N_DOCUMENTS,
        "n_queries": len(queries),
        "routing_ms": milliseconds(again),
        "routing_with_lookup_ms": milliseconds(first),
        "mixing_ms": milliseconds(mixing),
        "explaining_ms": milliseconds(explaining),
        "encoding_ms": milliseconds(encoding),
        "routing_over_encoding": round(float(np.median(again) / np.median(encoding)), 4),
        "resident_megabytes": round(grown / 2**20, 1),
        "router_megabytes": round((router_folder / "router.safetensors").stat().st_size / 2**20, 2),
    }


def searched(searcher: Searcher, text: str, vector: np.ndarray) -> Block:
    """A query after its first search."""
    (block,) = searcher.blocks([text], depth=1, vectors=vector)
    _ = block.first_hits
    return block


@contextmanager
def clocked(seconds: list[float]) -> Iterator[None]:
    """Note how long something takes."""
    start = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - start)


def names() -> list[str]:
    return [f"expert{number}" for number in range(N_EXPERTS)]


def pilots(rng: np.random.Generator, encoder: HashingEncoder) -> PilotLibrary:
    """Corpora around directions of their own; every expert gains on its own and loses a little on the others."""
    corpora = []
    for own in names():
        vectors = rng.normal(size=(N_PILOTS, DIM)) + rng.normal(size=DIM)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        gains = {
            name: rng.normal(0.1 if name == own else -0.01, 0.2, size=(N_PILOTS, len(STRENGTHS))).astype(np.float32)
            for name in names()
        }
        texts = tuple(f"{own} {number}" for number in range(N_PILOTS))
        corpora.append(PilotCorpus(own, texts, vectors.astype(np.float32), gains, home_experts=(own,)))
    return PilotLibrary(encoder.query_tower, tuple(corpora))


def expert(number: int, documents: list[Document], encoder: HashingEncoder, rng: np.random.Generator) -> LinearExpert:
    """An expert that knows some of the documents, and would know them again if they changed a little."""
    known = [documents[one] for one in rng.choice(len(documents), N_KNOWN, replace=False)]
    queries = encoder.encode_queries([random_text(rng) for _ in range(N_PILOTS)])
    vectors = encoder.encode_documents(known).vectors
    return LinearExpert(
        name=f"expert{number}",
        weight=np.zeros((DIM, DIM), dtype=np.float32),
        strength=1.0,
        space=encoder.space,
        query_tower=encoder.query_tower,
        known_documents=np.sort(np.array([document.content_key for document in known], dtype=np.uint64)),
        sketch=TrainingSketch.of(encoder.space, documents=[vectors], queries=[queries]),
    )


def random_text(rng: np.random.Generator) -> str:
    return " ".join(f"w{word}" for word in rng.zipf(1.3, size=WORDS).clip(max=5000))


def milliseconds(seconds: list[float]) -> dict[str, float]:
    return {
        "median": round(1e3 * float(np.median(seconds)), 3),
        "p99": round(1e3 * float(np.quantile(seconds, 0.99)), 3),
    }


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
