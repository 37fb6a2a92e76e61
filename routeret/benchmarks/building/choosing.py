"""Which documents a run measures: evenly of all corpora, in an order drawn from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from routeret.benchmarks.building.quality import SPLIT
from routeret.datasets import Dataset
from routeret.types import Document


@dataclass(frozen=True, slots=True)
class Chosen:
    """The documents of a run.

    Attributes:
        documents: in the order in which they are embedded; ids are ``<data set>/<id>``.
        n_all: how many the corpora hold.
        identical_of_all: the share of those whose title and text an earlier one has.
    """

    documents: tuple[Document, ...]
    n_all: int
    identical_of_all: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: how many, and which shares are identical."""
        return {
            "documents": len(self.documents),
            "identical_share": identical_share(self.documents),
            "documents_of_corpora": self.n_all,
            "identical_share_of_corpora": self.identical_of_all,
        }


def choose(datasets: Sequence[Dataset], n_documents: int, *, seed: int) -> Chosen:
    """Draw documents.

    Half of those of a corpus are some that dev queries ask for, as far as there are; the rest are any others. Without
    that, a few documents would answer hardly a query, and nothing could be said of quality.

    Args:
        datasets: their corpora; the same number is taken of each, or all where it holds fewer.
        n_documents: how many, at most.
        seed: decides which, and their order.
    """
    rng = np.random.default_rng(seed)
    corpora = [list(dataset.corpus.with_prefix()) for dataset in datasets]
    chosen: list[Document] = []
    for number, share in enumerate(shares([len(corpus) for corpus in corpora], n_documents)):
        order = rng.permutation(len(corpora[number])).tolist()
        asked = _asked(datasets[number])
        first = [row for row in order if corpora[number][row].id in asked][: share // 2]
        taken = first + [row for row in order if row not in set(first)]
        chosen += [corpora[number][row] for row in taken[:share]]
    documents = tuple(chosen[row] for row in rng.permutation(len(chosen)).tolist())
    everything = [document for corpus in corpora for document in corpus]
    return Chosen(documents, n_all=len(everything), identical_of_all=identical_share(everything))


def shares(sizes: Sequence[int], total: int) -> list[int]:
    """How many are taken of each, as evenly as their sizes allow.

    Args:
        sizes: how many each has.
        total: how many are wanted.
    """
    taken = [0] * len(sizes)
    left = total
    for place, number in enumerate(sorted(range(len(sizes)), key=lambda one: sizes[one])):
        taken[number] = min(sizes[number], left // (len(sizes) - place))
        left -= taken[number]
    return taken


def identical_share(documents: Sequence[Document]) -> float:
    """The share of documents whose title and text an earlier one has."""
    different = {(document.title, document.text) for document in documents}
    return 1 - len(different) / len(documents)


def _asked(dataset: Dataset) -> set[str]:
    """The prefixed ids of the documents that answer a dev query."""
    grades = dataset.qrels_by_split.get(SPLIT, {}).values()
    return {f"{dataset.name}/{one}" for judged in grades for one, grade in judged.items() if grade > 0}
