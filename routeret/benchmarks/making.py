"""Data folders for the benchmark: synthetic ones, and ones of real documents."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from routeret.benchmarks.clusters import BLOCK_ROWS, Clusters, unit
from routeret.benchmarks.data import ARRAYS, CORPUS, PLACES, VECTORS, BenchData, DataFacts, PlaceRange, write_facts
from routeret.benchmarks.given import VectorSource
from routeret.benchmarks.truth import kth_best
from routeret.datasets import load_dataset
from routeret.errors import InputError
from routeret.progress import track
from routeret.protocols import Encoder
from routeret.space import NO_TOKEN_LIMIT, Space
from routeret.types import Document, FloatArray, IntArray

K = 10
SELECTIVITIES = (0.5, 0.01, 0.0001)
N_QUERIES = 1000
N_TUNING = 200
N_CHANGES = 20
N_FILTERED = 50

_WORDS = 10
_VOCABULARY = 10_000
_ENCODED_AT_ONCE = 1024

# Streams of chance, apart from those of the vectors.
_TEXTS, _PLACES, _NEAR, _CHANGES, _FILTERS, _QUERIES = range(10, 16)


def make_synthetic(folder: Path, n_documents: int, *, clusters: Clusters) -> BenchData:
    """Write a data folder of synthetic vectors, with short texts of made-up words.

    Args:
        folder: made here.
        n_documents: how many.
        clusters: what the vectors are drawn from.
    """
    space = Space(model=f"{clusters.seed:064x}", pooling="other", max_tokens=NO_TOKEN_LIMIT, dim=clusters.dim)
    folder.mkdir(parents=True)
    _write_vectors(folder, clusters.blocks(n_documents), seed=clusters.seed, space=space)
    rng = np.random.default_rng((clusters.seed, _NEAR))
    drawn = rng.integers(0, n_documents, size=N_QUERIES + N_TUNING)
    queries = clusters.near(_read_rows(folder, drawn, space))
    return _finish(
        folder,
        name=f"synthetic {n_documents:,}",
        documents=_made_up(n_documents, clusters.seed),
        n_documents=n_documents,
        queries=queries,
        space=space,
        seed=clusters.seed,
        source={"kind": "synthetic", **clusters.as_dict()},
    )


def make_real(
    folder: Path,
    corpora: Sequence[Path],
    *,
    encoder: Encoder,
    vectors: VectorSource | None,
    seed: int,
    show_progress: bool = False,
) -> BenchData:
    """Write a data folder of the documents and queries of BEIR folders; ids are ``<folder>/<id>``.

    Args:
        folder: made here.
        corpora: BEIR folders.
        encoder: writes the queries, and the documents where no vectors are given.
        vectors: the documents' vectors, by the prefixed ids.
        seed: decides which queries are taken.
        show_progress: draw a progress bar on stderr.

    Raises:
        SpaceMismatchError: the given vectors are of another space than the encoder's.
        CorpusError: a folder cannot be read.
        InputError: the folders hold fewer than 2 queries.
    """
    if vectors is not None:
        encoder.space.require_same(vectors.space, here="the benchmark's encoder", there="the folder of vectors")
    datasets = [load_dataset(one) for one in corpora]
    texts = [text for dataset in datasets for text in dataset.queries.values()]
    if len(texts) < 2:
        raise InputError(f"the corpora hold {len(texts)} query, expected at least 2; give further folders")
    drawn = np.random.default_rng((seed, _QUERIES)).permutation(len(texts))[: N_QUERIES + N_TUNING]
    queries = encoder.encode_queries([texts[number] for number in drawn.tolist()])
    documents = [document for dataset in datasets for document in dataset.corpus.with_prefix()]
    folder.mkdir(parents=True)
    blocks = _encoded(documents, vectors or encoder, show_progress=show_progress)
    _write_vectors(folder, blocks, seed=seed, space=encoder.space)
    return _finish(
        folder,
        name=f"real {len(documents):,}",
        documents=documents,
        n_documents=len(documents),
        queries=queries,
        space=encoder.space,
        seed=seed,
        source={"kind": "real", "corpora": [dataset.name for dataset in datasets]},
    )


def _made_up(n_documents: int, seed: int) -> Iterator[Document]:
    words = np.array([f"word{number}" for number in range(_VOCABULARY)], dtype=object)
    for block, start in enumerate(range(0, n_documents, BLOCK_ROWS)):
        rng = np.random.default_rng((seed, _TEXTS, block))
        # Squares of uniform numbers: some words are frequent, most are rare.
        drawn = words[(_VOCABULARY * rng.random((BLOCK_ROWS, _WORDS)) ** 2).astype(np.int64)]
        for number, line in enumerate(drawn[: n_documents - start].tolist(), start=start):
            yield Document(id=f"d{number}", text=" ".join(line))


def _encoded(documents: Sequence[Document], source: VectorSource, *, show_progress: bool) -> Iterator[FloatArray]:
    starts = range(0, len(documents), _ENCODED_AT_ONCE)
    for start in track(starts, description="Encoding", unit="block", show=show_progress):
        yield source.encode_documents(documents[start : start + _ENCODED_AT_ONCE]).vectors


def _write_vectors(folder: Path, blocks: Iterable[FloatArray], *, seed: int, space: Space) -> None:
    """Write the documents' vectors, and behind them those that changed documents get."""
    n_documents = 0
    with (folder / VECTORS).open("wb") as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=np.float32).tobytes())
            n_documents += len(block)
    rng = np.random.default_rng((seed, _CHANGES))
    one, other = (_read_rows(folder, rng.integers(0, n_documents, N_CHANGES), space) for _ in range(2))
    # Between two documents, a little nearer to one of them, so that it is never nothing.
    changed = unit(one + np.float32(0.9) * other)
    with (folder / VECTORS).open("ab") as file:
        file.write(changed.tobytes())


def _read_rows(folder: Path, rows: IntArray, space: Space) -> FloatArray:
    vectors: FloatArray = np.memmap(folder / VECTORS, dtype=np.float32, mode="r").reshape(-1, space.dim)
    return np.array(vectors[rows])


def _finish(
    folder: Path,
    *,
    name: str,
    documents: Iterable[Document],
    n_documents: int,
    queries: FloatArray,
    space: Space,
    seed: int,
    source: Mapping[str, Any],
) -> BenchData:
    """Write the corpus, the places, the filters and the right answers."""
    shuffled = np.random.default_rng((seed, _PLACES)).permutation(n_documents)
    places = shuffled * PLACES // n_documents
    with (folder / CORPUS).open("w", encoding="utf-8") as file:
        for row, document in enumerate(documents):
            values = {"_id": document.id, "title": document.title, "text": document.text}
            file.write(json.dumps({**values, "row": row, "place": int(places[row])}, ensure_ascii=False) + "\n")
    write_facts(
        folder, DataFacts(name, n_documents, n_changes=N_CHANGES, k=K, space=space.as_dict(), source=dict(source))
    )
    data = BenchData(folder)
    n_tuning = min(N_TUNING, len(queries) // 2)
    tuning, test = queries[:n_tuning], queries[n_tuning:]
    bounds = kth_best((block for _, block in data.blocks()), queries, K)
    filters = [_range(share, n_documents, seed) for share in SELECTIVITIES]
    filter_bounds = [
        kth_best((block for _, block in data.blocks()), test[:N_FILTERED], K, allowed=one.matches(places))
        for one in filters
    ]
    np.savez(
        folder / ARRAYS,
        queries=test,
        tuning_queries=tuning,
        bounds=bounds[n_tuning:],
        tuning_bounds=bounds[:n_tuning],
        places=places,
        filters=np.array([(one.start, one.end) for one in filters]),
        filter_bounds=np.stack(filter_bounds),
    )
    return data


def _range(share: float, n_documents: int, seed: int) -> PlaceRange:
    """A range of places that this share of the documents has; at least one document."""
    step = -(-PLACES // n_documents)
    width = max(step, round(share * PLACES))
    start = int(np.random.default_rng((seed, _FILTERS)).integers(0, PLACES - width + 1))
    return PlaceRange(start, start + width)
