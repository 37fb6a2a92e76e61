"""What an encoder with documents of its own is worth beside the base, and the expert that it becomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from routeret.datasets import load_dataset
from routeret.encoders import HashingEncoder, TorchEncoder, named_encoder
from routeret.errors import InputError
from routeret.experts import TowerExpert
from routeret.fusion import SpaceFusion, fuse_spaces
from routeret.index.structures.best import top_k
from routeret.protocols import Encoder
from routeret.routing.pilots import STRENGTHS, PilotCorpus, PilotLibrary
from routeret.training.embedded import EmbeddedSet, embed_dataset
from routeret.training.measuring import pilot_queries
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
        gains: mean gain over the base at every strength, by data set.
    """

    expert: TowerExpert
    pilots: PilotLibrary
    gains: Mapping[str, FloatArray]


def measured_model(
    model: Path | str,
    *,
    name: str,
    data: Sequence[Path | str],
    base: Encoder,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    device: str | None = None,
    show_progress: bool = False,
) -> MeasuredTower:
    """Make an expert of any model and measure it.

    Args:
        model: a folder or the name of a model on this machine; the expert refers to it.
        name: of the expert.
        data: BEIR folders with train and, if possible, dev queries; without any nothing is measured, and the expert's
            strength is 1.
        base: what it is measured against.
        query_prompt: text put before every query; None takes the one that the model names.
        document_prompt: text put before every document; None takes the one that the model names.
        device: where the model runs.
        show_progress: draw progress bars on stderr.

    Raises:
        ModelNotFoundError: the model is nowhere on this machine.
        CorpusError: a folder cannot be read, or has no train split.
    """
    encoder = named_encoder(model, device=device, query_prompt=query_prompt, document_prompt=document_prompt)
    sets = []
    for folder in data:
        dataset = load_dataset(folder)
        pair = (embed_dataset(dataset, one, show_progress=show_progress) for one in (base, encoder))
        sets.append((next(pair), next(pair)))
    reference = str(Path(model).expanduser().resolve()) if Path(model).expanduser().is_dir() else str(model)
    return measured_tower(name, encoder, sets, query_tower=base.query_tower, model=reference)


def measured_tower(
    name: str,
    encoder: TorchEncoder | HashingEncoder,
    sets: Sequence[tuple[EmbeddedSet, EmbeddedSet]],
    *,
    query_tower: str,
    model: str | None,
    details: Mapping[str, Any] | None = None,
) -> MeasuredTower:
    """Measure an encoder beside the base on data sets, and make an expert of it.

    Args:
        name: of the expert.
        encoder: has documents of its own.
        sets: every data set as the base and as the encoder embed it.
        query_tower: of the base.
        model: see :class:`~routeret.experts.TowerExpert`.
        details: about its training.
    """
    corpora, gains = [], {}
    for embedded, own in sets:
        pilots, twins = pilot_queries(embedded), pilot_queries(own)
        measured = tower_gains(embedded.judged(pilots.measured), own.judged(twins.measured))
        gains[embedded.name] = measured.mean(axis=0)
        corpora.append(
            PilotCorpus(
                name=embedded.name,
                texts=pilots.measured.texts + pilots.others.texts,
                vectors=np.concatenate([pilots.measured.vectors, pilots.others.vectors]),
                gains={name: pilots.with_unmeasured(measured)},
                home_experts=(name,),
            )
        )
    best = int(np.argmax(np.round(np.mean(list(gains.values()), axis=0), 9))) if gains else len(STRENGTHS) - 1
    expert = TowerExpert(
        name=name,
        encoder=encoder,
        strength=STRENGTHS[best],
        known_documents=np.concatenate([np.zeros(0, dtype=np.uint64), *(own.content_keys for _, own in sets)]),
        model=model,
        details=details or {},
    )
    return MeasuredTower(expert, PilotLibrary(query_tower=query_tower, corpora=tuple(corpora)), gains)


def tower_gains(
    base: JudgedQueries,
    own: JudgedQueries,
    *,
    shares: Sequence[float] = STRENGTHS,
    how: SpaceFusion = "scores",
) -> FloatArray:
    """What a tower gains on queries at several shares: nDCG@10 of the fused ranking minus that of the base.

    The candidates are the 100 best documents of either space, as where an index is searched.

    Args:
        base: the queries and documents in the base's space.
        own: the same queries and documents, in the same order, in the tower's.
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
        of_base, of_own = (one.queries[part] @ one.documents.T for one in (base, own))
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
