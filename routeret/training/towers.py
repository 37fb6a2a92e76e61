"""What an encoder with documents of its own is worth beside the base, and the expert that it becomes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from routeret.datasets import Dataset, load_dataset
from routeret.errors import InputError
from routeret.experts import TowerExpert
from routeret.experts.tower import SPACE_FUSION, TowerQueries
from routeret.fusion import SpaceFusion, fuse_spaces
from routeret.index.structures.best import top_k
from routeret.late_interaction import PooledTargets, TokenTargets, soft_late_interaction
from routeret.protocols import Encoder
from routeret.routing.pilots import STRENGTHS, PilotCorpus, PilotLibrary
from routeret.routing.stored_pilots import save_pilots
from routeret.significance import PairedTest
from routeret.training.choosing import DevScores, choose
from routeret.training.document_tokens import DocumentTokens
from routeret.training.embedded import EmbeddedSet, embed_dataset
from routeret.training.expert_report import is_helpful, tested_over_sets
from routeret.training.material import sketch_of
from routeret.training.measuring import divide, pilot_queries
from routeret.training.scoring import JudgedQueries, ndcg_of_scores
from routeret.types import FloatArray

_CANDIDATES = 100
_QUERIES_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredTower:
    """An expert with documents of its own, and the queries that tell when it helps.

    Attributes:
        expert: at the strength that gains most on the mean over sets.
        pilots: with its gains at every strength.
        scores: of the dev queries, one a data set; a single fit at every strength.
        difference: of nDCG@10 on dev, with the expert beside the base minus the base alone; every query's gain comes
            from the strength that did best on other queries. The mean over sets, tested over all their queries;
            0 at p 1 without any.
    """

    expert: TowerExpert
    pilots: PilotLibrary
    scores: tuple[DevScores, ...]
    difference: PairedTest

    def save(self, folder: Path) -> None:
        """Write the expert with its pilots as a new folder, as a retriever takes it."""
        self.expert.save(folder, beside=lambda written: save_pilots(self.pilots, written / "pilots"))


def measured_model(
    expert: TowerExpert,
    *,
    data: Sequence[Path | str],
    base: Encoder,
    how: SpaceFusion = "scores",
    show_progress: bool = False,
) -> MeasuredTower:
    """Measure an expert that was made of any model, as it compares queries with documents.

    Where it compares tokens, those of all documents of the data sets are held in memory, as float16, or as float32
    where the expert keeps them as int8.

    Args:
        expert: of any strength.
        data: BEIR folders with train and, if possible, dev queries; without any nothing is measured, and the expert's
            strength is 1.
        base: what it is measured against.
        how: how its scores and the base's become comparable.
        show_progress: draw progress bars on stderr.

    Raises:
        CorpusError: a folder cannot be read, or has no train split.
    """
    sets, tokens = [], []
    for folder in data:
        dataset = load_dataset(folder)
        embedded = embed_dataset(dataset, base, show_progress=show_progress)
        own, targets = embedded_by(expert, dataset, show_progress=show_progress)
        sets.append((embedded, own))
        tokens.append(targets)
    return measured_expert(expert, sets, tokens=tokens, query_tower=base.query_tower, how=how)


def embedded_by(
    expert: TowerExpert, dataset: Dataset, *, show_progress: bool = False
) -> tuple[EmbeddedSet, TokenTargets | None]:
    """A data set as an expert embeds it, with the tokens of its documents where the expert compares them.

    Args:
        expert: of any strength.
        dataset: with train and, if possible, dev queries.
        show_progress: draw progress bars on stderr.
    """
    encoder = DocumentTokens(expert)
    own = embed_dataset(dataset, encoder, show_progress=show_progress)
    return own, encoder.targets()


def measured_expert(
    expert: TowerExpert,
    sets: Sequence[tuple[EmbeddedSet, EmbeddedSet]],
    *,
    query_tower: str,
    tokens: Sequence[TokenTargets | None] = (),
    how: SpaceFusion = "scores",
    seed: int = 0,
) -> MeasuredTower:
    """Measure an expert beside the base on the dev queries of data sets; its strength is chosen there.

    Args:
        expert: of any strength.
        sets: every data set as the base and as the expert embed it.
        query_tower: of the base.
        tokens: of every set the documents' token vectors, for an expert that compares them; empty where it does not.
        how: how its scores and the base's become comparable.
        seed: how the dev queries are halved, and of the test.
    """
    corpora, scores = [], []
    for (embedded, own), targets in zip(sets, tokens or [None] * len(sets), strict=True):
        pilots, dev = pilot_queries(embedded), divide(embedded).dev
        before, asked = embedded.judged(dev), expert.encode_queries(dev.texts)
        gains = tower_gains(before, own.judged(divide(own).dev), asked=asked, tokens=targets, how=how)
        base = before.ndcg_of(dev.vectors)
        scores.append(DevScores(embedded.name, base, (base[:, None] + gains)[:, None]))
        # The pilots are some of the dev queries, in the same order.
        is_pilot = np.isin(dev.ids, pilots.measured.ids)
        corpora.append(
            PilotCorpus(
                name=embedded.name,
                texts=pilots.measured.texts + pilots.others.texts,
                vectors=np.concatenate([pilots.measured.vectors, pilots.others.vectors]),
                gains={expert.name: pilots.with_unmeasured(gains[is_pilot])},
                home_experts=(expert.name,),
            )
        )
    choice = choose(scores, seed=seed) if scores else None
    difference = tested_over_sets(() if choice is None else choice.gains, seed=seed)
    known = np.concatenate([np.zeros(0, dtype=np.uint64), *(own.content_keys for _, own in sets)])
    strength, details = STRENGTHS[-1], {**expert.details, SPACE_FUSION: how}
    if choice is not None:
        strength = choice.strength
        details["scores"] = {"difference": difference.as_dict(), "helpful": is_helpful(difference)}
    every = [embedded for embedded, _ in sets]
    sketch = sketch_of(every, [divide(one) for one in every]) if every else None
    expert = replace(expert, strength=strength, known_documents=known, details=details, sketch=sketch)
    pilots_of_all = PilotLibrary(query_tower=query_tower, corpora=tuple(corpora))
    return MeasuredTower(expert, pilots_of_all, tuple(scores), difference)


def tower_gains(
    base: JudgedQueries,
    own: JudgedQueries,
    *,
    asked: TowerQueries | None = None,
    tokens: TokenTargets | None = None,
    shares: Sequence[float] = STRENGTHS,
    how: SpaceFusion = "scores",
) -> FloatArray:
    """What a tower gains on queries at several shares: nDCG@10 of the fused ranking minus that of the base.

    The candidates are the 100 best documents of either space, as where an index is searched.

    Args:
        base: the queries and documents in the base's space.
        own: the same queries and documents, in the same order, in the tower's.
        asked: the queries as the tower compares them with documents; None compares the vectors of ``own``.
        tokens: of the documents, where the queries are compared with them.
        shares: what the tower counts.
        how: how the scores become comparable; see :func:`routeret.fusion.fuse_spaces`.

    Returns:
        float32, shape (n_queries, n_shares).

    Raises:
        InputError: the two do not hold as many queries and documents.
    """
    if len(base.queries) != len(own.queries) or len(base.documents) != len(own.documents):
        raise InputError(
            f"set {base.name!r} has {len(base.queries)} queries and {len(base.documents)} documents in one space, "
            f"{len(own.queries)} and {len(own.documents)} in the other; embed the same set twice"
        )
    gains = np.zeros((len(base.queries), len(shares)), dtype=np.float32)
    for start in range(0, len(base.queries), _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        relevant, grades = base.relevant[part], base.grades[part]
        of_base = base.queries[part] @ base.documents.T
        of_own = tower_scores(own, part, asked=asked, tokens=tokens)
        before = ndcg_of_scores(of_base, relevant=relevant, grades=grades)
        candidates = [top_k(scores, _CANDIDATES).rows for scores in (of_base, of_own)]
        for column, share in enumerate(shares):
            fused = np.full(of_base.shape, -np.inf, dtype=np.float32)
            for query in range(len(of_base)):
                rows = np.union1d(candidates[0][query], candidates[1][query])
                both = [of_base[query, rows], of_own[query, rows]]
                fused[query, rows] = fuse_spaces(both, shares=[1 - share, share], how=how)
            gains[part, column] = ndcg_of_scores(fused, relevant=relevant, grades=grades) - before
    return gains


def tower_scores(
    own: JudgedQueries, part: slice, *, asked: TowerQueries | None = None, tokens: TokenTargets | None = None
) -> FloatArray:
    """The scores of all documents for some queries, float32, shape (n_queries, n_documents).

    Args:
        own: queries and documents in the tower's space.
        part: which queries.
        asked: the queries as the tower compares them with documents; None compares the vectors of ``own``.
        tokens: of the documents, where the queries are compared with them; None compares the vectors of ``own``.
    """
    if asked is None or asked.tokens is None:
        return np.asarray(own.queries[part] @ own.documents.T, dtype=np.float32)
    targets = PooledTargets.of(own.documents) if tokens is None else tokens
    return soft_late_interaction(asked.tokens[part], targets, temperature=asked.temperature)


def tower_ndcg(own: JudgedQueries, asked: TowerQueries, *, tokens: TokenTargets | None = None) -> FloatArray:
    """Give nDCG@10 of the tower alone, float32, shape (n_queries,).

    Args:
        own: queries and documents in the tower's space.
        asked: the queries as the tower compares them with documents.
        tokens: of the documents, where the queries are compared with them.
    """
    values = np.zeros(len(own.queries), dtype=np.float32)
    for start in range(0, len(values), _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        scores = tower_scores(own, part, asked=asked, tokens=tokens)
        values[part] = ndcg_of_scores(scores, relevant=own.relevant[part], grades=own.grades[part])
    return values
