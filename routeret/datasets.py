"""BEIR folders with queries and relevance judgements, and runs in TREC form."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from routeret.artifact import write_file
from routeret.corpus import Corpus
from routeret.errors import CorpusError, InputError
from routeret.lines import beir_file, read_id, read_lines, read_objects
from routeret.types import Document, Qrels, Run

_HEADER = ["query-id", "corpus-id", "score"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A corpus with queries and their relevance judgements.

    Attributes:
        name: the folder's name unless another was given.
        corpus: the documents, read anew at every pass.
        queries: text by query id, in file order, of all splits.
        qrels_by_split: relevance grades by split; a split without judgements is empty.
        folder: where it was loaded from.
    """

    name: str
    corpus: Corpus
    queries: Mapping[str, str]
    qrels_by_split: Mapping[str, Qrels]
    folder: Path

    @property
    def splits(self) -> list[str]:
        """The names of the splits that hold judgements, in alphabetical order."""
        return sorted(split for split, qrels in self.qrels_by_split.items() if qrels)

    def split(self, name: str) -> tuple[dict[str, str], Qrels]:
        """The judged queries of a split, in file order, and their judgements.

        Args:
            name: for example ``"test"``.

        Raises:
            CorpusError: the split is missing or empty (those that are not are listed), or a judged query has no text.
        """
        qrels = self.qrels_by_split.get(name)
        if not qrels:
            found = "an empty" if name in self.qrels_by_split else "no"
            splits = ", ".join(self.splits) or "no split with judgements"
            raise CorpusError(f"data set {self.name!r} has {found} split {name!r}; it has: {splits}")
        self._require_known(qrels, known=self.queries, what="query", split=name)
        queries = {query_id: text for query_id, text in self.queries.items() if query_id in qrels}
        return queries, {query_id: dict(qrels[query_id]) for query_id in queries}

    def load_documents(self) -> list[Document]:
        """All documents at once, in file order."""
        return list(self.corpus)

    def check(self, split: str) -> None:
        """Do nothing if every query and document that a split judges exists; reads the corpus once.

        Args:
            split: for example ``"test"``.

        Raises:
            CorpusError: the split is missing or empty, or an id is unknown; the first such id, the count and the
                file are named.
        """
        _, qrels = self.split(split)
        known = {document.id for document in self.corpus}
        judged = (document_id for grades in qrels.values() for document_id in grades)
        self._require_known(judged, known=known, what="document", split=split)

    def _require_known(self, ids: Iterable[str], *, known: Mapping[str, str] | set[str], what: str, split: str) -> None:
        unknown = list(dict.fromkeys(one for one in ids if one not in known))
        if unknown:
            file = beir_file(self.folder / "qrels", split, suffix=".tsv")
            count = "1 id is" if len(unknown) == 1 else f"{len(unknown)} ids are"
            raise CorpusError(
                f"{file} judges {what} {unknown[0]!r}, which data set {self.name!r} does not hold ({count} unknown); "
                f"remove these lines, or add what is missing"
            )


def check(dataset: Dataset, split: str) -> None:
    """Do nothing if every query and document that a split judges exists; see :meth:`Dataset.check`."""
    dataset.check(split)


def load_dataset(folder: Path | str, *, name: str | None = None) -> Dataset:
    """The data set of a BEIR folder: queries and judgements are read now, documents when they are used.

    Args:
        folder: holds ``corpus.jsonl``, ``queries.jsonl`` (each plain or ``.gz``) and ``qrels/<split>.tsv``.
        name: by default the folder's name.

    Raises:
        CorpusError: a file is missing or cannot be read as it is; the file and line are named.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CorpusError(f"{folder} is not a folder; give a BEIR folder (corpus.jsonl, queries.jsonl, qrels/*.tsv)")
    missing = [stem for stem in ("corpus", "queries") if beir_file(folder, stem) is None]
    if missing:
        raise CorpusError(f"{folder} is not a BEIR folder: {missing[0]}.jsonl and {missing[0]}.jsonl.gz are missing")
    names = {path.name.removesuffix(".gz").removesuffix(".tsv") for path in (folder / "qrels").glob("*.tsv*")}
    files = {split: beir_file(folder / "qrels", split, suffix=".tsv") for split in sorted(names)}
    qrels_by_split = {split: read_qrels(file) for split, file in files.items() if file is not None}
    if not qrels_by_split:
        raise CorpusError(f"{folder} is not a BEIR folder: {folder / 'qrels'} holds no .tsv file")
    queries_file = beir_file(folder, "queries")
    return Dataset(
        name=name if name is not None else folder.resolve().name,
        corpus=Corpus.from_path(folder, name=name),
        queries=_read_queries(queries_file) if queries_file is not None else {},
        qrels_by_split=qrels_by_split,
        folder=folder,
    )


def read_qrels(path: Path) -> Qrels:
    """The relevance grades of a tab-separated file: query id, document id, whole-number grade.

    Args:
        path: plain or ``.gz``; the header ``query-id corpus-id score`` may be absent.

    Raises:
        CorpusError: a line has another form, or one judgement comes twice with two grades.
    """
    qrels: Qrels = {}
    first = True
    for line, place in read_lines(path):
        if not line.strip():
            continue
        cells = line.split("\t")
        is_header, first = first and cells == _HEADER, False
        if is_header:
            continue
        if len(cells) != 3 or not _is_whole(cells[2]):
            raise CorpusError(
                f"{place} is {line!r}; expected a query id, a document id and a whole-number grade, separated by tabs, "
                f"below the header {' '.join(_HEADER)!r}"
            )
        query_id, document_id, grade = cells[0], cells[1], int(cells[2])
        if qrels.setdefault(query_id, {}).setdefault(document_id, grade) != grade:
            before = qrels[query_id][document_id]
            raise CorpusError(
                f"{place} grades document {document_id!r} {grade} for query {query_id!r}, an earlier line {before}; "
                f"keep one of the two"
            )
    return qrels


def write_run(path: Path | str, run: Run, *, system: str) -> None:
    """Write a run in TREC form, ``query Q0 document rank score system``, best document first; all or nothing.

    Args:
        path: the file to write, over whatever stood there.
        run: scores by query and document id; equal scores keep their order. A query without documents has no line.
        system: the name in the last column.

    Raises:
        InputError: an id or the system's name is empty or holds white space, or a score is not finite.
    """
    _require_word(system, what="system name")
    lines = []
    for query_id, scores in run.items():
        _require_word(query_id, what="query id")
        for rank, (document_id, score) in enumerate(sorted(scores.items(), key=lambda item: -item[1]), start=1):
            _require_word(document_id, what="document id")
            if not math.isfinite(score):
                raise InputError(f"the score of document {document_id!r} for query {query_id!r} is {score}")
            lines.append(f"{query_id} Q0 {document_id} {rank} {float(score)!r} {system}\n")
    write_file(Path(path), "".join(lines).encode())


def read_run(path: Path | str) -> Run:
    """The run of a file in TREC form, plain or ``.gz``; scores by query and document id.

    Raises:
        CorpusError: a line has another form, or one document comes twice for a query.
    """
    run: Run = {}
    for line, place in read_lines(Path(path)):
        if not line.strip():
            continue
        cells = line.split()
        try:
            query_id, _, document_id, _, score, _ = cells
            value = float(score)
        except ValueError as error:
            raise CorpusError(f"{place} is {line!r}; expected: query Q0 document rank score system") from error
        if document_id in run.setdefault(query_id, {}):
            raise CorpusError(f"{place} has document {document_id!r} twice for query {query_id!r}; keep one line")
        run[query_id][document_id] = value
    return run


def _read_queries(path: Path) -> dict[str, str]:
    queries: dict[str, str] = {}
    for values, place in read_objects(path):
        _, query_id = read_id(values, place)
        text = values.get("text")
        if not isinstance(text, str) or not text.strip():
            raise CorpusError(f"{place} has no text (query {query_id!r}); give it a text, or remove it")
        if query_id in queries:
            raise CorpusError(f"{place} has query id {query_id!r}, which an earlier line has too; keep one of the two")
        queries[query_id] = text
    if not queries:
        raise CorpusError(f"{path} is empty; it must hold at least one query")
    return queries


def _is_whole(cell: str) -> bool:
    return cell.strip().lstrip("+-").isdecimal()


def _require_word(word: str, *, what: str) -> None:
    if not word or any(character.isspace() for character in word):
        raise InputError(f"{what} {word!r} is empty or holds white space, which a run in TREC form cannot keep")
