"""Pairs of documents that are cited together, from a citation graph (arXiv 2401.15713, section on data)."""

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routeret.corpus import Corpus
from routeret.errors import InputError
from routeret.mining.citations import CitationGraph
from routeret.mining.pair_files import files_of, put_in_place, write_pairs
from routeret.mining.pairing import Pairing
from routeret.mining.sieve import Sieve
from routeret.mining.splitting import DocumentSplit

MOST_REFERENCES = 300
"""Research papers seldom cite more; those that do are mostly surveys, proceedings or errors in the data."""

LEAST_REFERENCES = 2
"""A paper with fewer cites no pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CocitationReport:
    """What was found in a citation graph, and what was left out of it.

    ``edges`` is the sum of ``held_out_edges``, ``self_citations``, ``unknown_edges``, ``duplicate_edges`` and
    ``distinct_edges``; ``found_pairs`` is the sum of ``below_min_count``, ``across_splits``, ``over_cap`` and
    ``pairs``.

    Attributes:
        edges: lines of the list.
        held_out_papers: how many of the held-out ids stand in the list.
        held_out_edges: lines with a held-out id.
        self_citations: lines in which a paper cites itself.
        unknown_edges: lines that cite a document which the corpus does not hold.
        duplicate_edges: lines that came before.
        distinct_edges: what is left.
        papers: how many papers these edges come from.
        left_out_papers: number of references of every paper that has too many, by its id.
        documents: how many documents the other papers cite.
        found_pairs: how many pairs of documents they cite together.
        below_min_count: pairs that too few papers cite.
        across_splits: of the others, those whose two documents are in different splits.
        over_cap: pairs that are not among the best of both their documents.
        pairs: pairs written.
        pairs_by_split: the same by split; empty without a split.
        documents_by_split: how many documents these pairs hold.
        files: the files written.
        seed: what the splits were drawn with.
    """

    edges: int
    held_out_papers: int
    held_out_edges: int
    self_citations: int
    unknown_edges: int
    duplicate_edges: int
    distinct_edges: int
    papers: int
    left_out_papers: Mapping[str, int]
    documents: int
    found_pairs: int
    below_min_count: int
    across_splits: int
    over_cap: int
    pairs: int
    pairs_by_split: Mapping[str, int]
    documents_by_split: Mapping[str, int]
    files: tuple[str, ...]
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, the number of papers left out among them."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("pairs_by_split", "documents_by_split"):
            values[name] = dict(values[name])
        left_out = dict(values.pop("left_out_papers"))
        return {**values, "files": list(self.files), "n_left_out_papers": len(left_out), "left_out_papers": left_out}


def mine_cocitations(
    edges: Path | str,
    *,
    out: Path | str,
    corpus: Corpus | Path | str | None = None,
    min_count: int = 1,
    most_per_document: int | None = None,
    most_references: int = MOST_REFERENCES,
    split: Mapping[str, float] | None = None,
    hold_out: Iterable[str] = (),
    skip_unknown: bool = False,
    seed: int = 0,
    show_progress: bool = False,
) -> CocitationReport:
    """Write every pair of documents that some paper cites together, with the number of such papers; all or nothing.

    The lines are ``{"a": id, "b": id, "count": n}``, a before b, sorted. The graph stays on disk, in a temporary folder
    beside ``out``, which takes a few times the room of the list; in memory there are the corpus's ids, the held-out ids
    and two bytes a paper.

    Args:
        edges: JSON lines with ``citing`` and ``cited``, or CSV with these columns; plain or ``.gz``. Self-citations and
            repeated lines are left out and counted.
        out: the file of the pairs; ``.gz`` packs it. With a split, one file a split: ``pairs.train.jsonl`` for
            ``pairs.jsonl``. None of them may exist.
        corpus: the cited documents must be in it; a citing paper need not, since only its references are used.
        min_count: pairs that fewer papers cite are left out.
        most_per_document: keep for every document the pairs with the highest counts, equal ones by the other's id; a
            pair stays if it is among these for both its documents. It is applied last. None keeps all.
        most_references: papers that cite more documents are left out, and named in the report: n references make
            n (n - 1) / 2 pairs.
        split: share of the documents by the split's name, see :class:`DocumentSplit`. Pairs whose documents are in
            different splits are left out.
        hold_out: ids of papers, for example of a test set, whose lines are ignored on both sides.
        skip_unknown: leave out and count lines that cite an unknown document, instead of stopping.
        seed: decides the split of every document.
        show_progress: draw progress bars on stderr.

    Raises:
        CorpusError: the list or the corpus cannot be read, or a document is unknown; the file and line are named.
        InputError: an argument is out of its range, no held-out id is in the list, or no pair is left.
        ArtifactError: an output file exists, or the disk is full.
    """
    out = Path(out)
    _require_counts(min_count=min_count, most_per_document=most_per_document, most_references=most_references)
    splits = DocumentSplit(split, seed=seed) if split is not None else None
    names = splits.names if splits is not None else ()
    files = files_of(out, names)
    sieve = Sieve(Path(edges), corpus=corpus, hold_out=hold_out, skip_unknown=skip_unknown)
    with (
        tempfile.TemporaryDirectory(prefix=f".{out.name}.tmp-", dir=out.parent) as folder,
        closing(CitationGraph(Path(folder))) as graph,
    ):
        graph.add(sieve.passed(show_progress=show_progress))
        n_distinct = graph.number()
        n_papers = graph.n_citing
        left_out = graph.leave_out(most_references=most_references)
        pairing = Pairing(graph, splits, min_count=min_count, most_per_document=most_per_document)
        pairing.pair_all(show_progress=show_progress)
        _require_pairs(pairing, n_papers=n_papers, n_left_out=len(left_out), min_count=min_count)
        written = write_pairs(graph, files, split_by_row=pairing.split_by_row, temporary=Path(folder))
        n_documents = graph.n_cited
        put_in_place(written.parts, files)
    n_pairs = sum(written.pairs)
    return CocitationReport(
        edges=sieve.edges,
        held_out_papers=sieve.held_out_papers,
        held_out_edges=sieve.held_out_edges,
        self_citations=sieve.self_citations,
        unknown_edges=sieve.unknown_edges,
        duplicate_edges=sieve.n_passed - n_distinct,
        distinct_edges=n_distinct,
        papers=n_papers,
        left_out_papers=left_out,
        documents=n_documents,
        found_pairs=pairing.found,
        below_min_count=pairing.below_min_count,
        across_splits=pairing.across_splits,
        over_cap=pairing.eligible - n_pairs,
        pairs=n_pairs,
        pairs_by_split=dict(zip(names, written.pairs, strict=False)),
        documents_by_split=dict(zip(names, written.documents, strict=False)),
        files=tuple(map(str, files)),
        seed=seed,
    )


def _require_counts(*, min_count: int, most_per_document: int | None, most_references: int) -> None:
    if min_count < 1:
        raise InputError(f"min_count is {min_count}, expected at least 1")
    if most_per_document is not None and most_per_document < 1:
        raise InputError(f"most_per_document is {most_per_document}, expected at least 1, or None for no limit")
    if most_references < LEAST_REFERENCES:
        raise InputError(f"most_references is {most_references}, expected at least {LEAST_REFERENCES}: it takes a pair")


def _require_pairs(pairing: Pairing, *, n_papers: int, n_left_out: int, min_count: int) -> None:
    if pairing.eligible:
        return
    raise InputError(
        f"no pair of documents is left: {n_papers} papers, {n_left_out} of them with too many references, cite "
        f"{pairing.found} pairs together; of these, {pairing.below_min_count} are cited by fewer than {min_count} "
        f"papers and {pairing.across_splits} lie across splits. Give more citations, or wider limits"
    )
