"""Queries from files: plain texts, or with the documents that answer them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from routeret.chance import require_seed
from routeret.datasets import load_dataset
from routeret.errors import CorpusError, InputError
from routeret.lines import read_lines, read_objects
from routeret.types import LabelledQuery

_JSON_LINES = (".jsonl", ".jsonl.gz")


def read_queries(path: Path | str) -> list[str]:
    """The queries of a file, in its order.

    Args:
        path: ``.jsonl`` or ``.jsonl.gz`` with ``query`` or ``text`` in every object; any other file, plain or
            ``.gz``, holds one query a line. Blank lines are left out.

    Raises:
        CorpusError: the file is missing or empty, or a line cannot be read; the file and line are named.
    """
    path = existing_file(Path(path))
    if path.name.endswith(_JSON_LINES):
        queries = [query_of(values, place) for values, place in read_objects(path)]
    else:
        queries = [line.strip() for line, _ in read_lines(path) if line.strip()]
    require_some(queries, path)
    return queries


def read_labelled_queries(path: Path | str, *, limit: int | None = None, seed: int = 0) -> list[LabelledQuery]:
    """The labelled queries of a file of JSON lines, in its order.

    Args:
        path: ``{"query": "...", "relevant": ["id", ...]}`` in every line, plain or ``.gz``; ``text`` may stand for
            ``query``. Other fields are left alone.
        limit: keep this many, drawn at random; None keeps all.
        seed: for the draw.

    Raises:
        CorpusError: the file is missing or empty, or a line cannot be read; the file and line are named.
        InputError: ``limit`` is below 1.
    """
    path = existing_file(Path(path))
    queries = [
        LabelledQuery(text=query_of(values, place), relevant=_relevant_of(values, place))
        for values, place in read_objects(path)
    ]
    require_some(queries, path)
    return drawn(queries, limit=limit, seed=seed)


def labelled_queries_of(
    folder: Path | str, *, split: str, prefix_ids: bool = False, limit: int | None = None, seed: int = 0
) -> list[LabelledQuery]:
    """The queries of a split of a BEIR folder with their relevant documents (grade above 0), in file order.

    A judged query without a relevant document teaches nothing and is left out.

    Args:
        folder: a BEIR folder.
        split: for example ``"train"``.
        prefix_ids: give the documents' ids as ``<folder's name>/<id>``, as in an index that was built so.
        limit: keep this many, drawn at random; None keeps all.
        seed: for the draw.

    Raises:
        CorpusError: the folder cannot be read, or the split is missing, empty or without a relevant document.
        InputError: ``limit`` is below 1.
    """
    dataset = load_dataset(folder)
    texts, qrels = dataset.split(split)
    prefix = f"{dataset.name}/" if prefix_ids else ""
    queries = []
    for query_id, text in texts.items():
        relevant = tuple(f"{prefix}{document_id}" for document_id, grade in qrels[query_id].items() if grade > 0)
        if relevant:
            queries.append(LabelledQuery(text=text, relevant=relevant))
    if not queries:
        raise CorpusError(f"split {split!r} of {folder} has no query with a relevant document; give another split")
    return drawn(queries, limit=limit, seed=seed)


def existing_file(path: Path) -> Path:
    """The path itself.

    Raises:
        CorpusError: there is no file.
    """
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise CorpusError(f"{path} {found}; give a file of queries")
    return path


def require_some(queries: Sequence[object], path: Path) -> None:
    """Do nothing if a file gave at least one query.

    Raises:
        CorpusError: it gave none.
    """
    if not queries:
        raise CorpusError(f"{path} is empty; it must hold at least one query")


def query_of(values: Mapping[str, Any], place: str) -> str:
    """The query of an object, in ``query`` or else in ``text``.

    Raises:
        CorpusError: it has neither, or no text in it; the place is named.
    """
    field = "query" if "query" in values else "text"
    if field not in values:
        raise CorpusError(f"{place} has no 'query'; it has {', '.join(map(repr, values)) or 'no fields'}")
    query = values[field]
    if not isinstance(query, str) or not query.strip():
        raise CorpusError(f"{place} has the {field} {query!r}, expected a text that is not blank")
    return query


def comparable(query: str) -> str:
    """A query as it is compared with others: case and blanks do not count."""
    return " ".join(query.split()).casefold()


def document_ids_of(values: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    """The document ids of an object in a field, in their order; an id that stands there twice comes twice.

    Args:
        values: the object.
        name: of the field.
        place: where the object was read.

    Raises:
        CorpusError: the field is missing or not a list of ids; the place is named.
    """
    ids = values.get(name)
    if not isinstance(ids, list) or not all(isinstance(one, str) and one for one in ids):
        raise CorpusError(
            f"{place} has {ids!r} as {name!r}, expected a list of document ids: "
            f'{{"query": "...", "{name}": ["id", ...]}}'
        )
    return tuple(ids)


def _relevant_of(values: Mapping[str, Any], place: str) -> tuple[str, ...]:
    relevant = document_ids_of(values, "relevant", place)
    if not relevant:
        raise CorpusError(f"{place} has no relevant document; name at least one in 'relevant', or remove the line")
    return tuple(dict.fromkeys(relevant))


def drawn(queries: list[LabelledQuery], *, limit: int | None, seed: int) -> list[LabelledQuery]:
    """Some of the queries at random, in their order; all of them where there are no more than the limit.

    Raises:
        InputError: ``limit`` is below 1, or the seed below 0.
    """
    require_seed(seed)
    if limit is None:
        return queries
    if limit < 1:
        raise InputError(f"the limit is {limit}, expected at least 1 query")
    if limit >= len(queries):
        return queries
    chosen = np.random.default_rng(seed).choice(len(queries), size=limit, replace=False)
    return [queries[position] for position in sorted(chosen)]
