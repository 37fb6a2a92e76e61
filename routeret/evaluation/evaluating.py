"""Evaluate a pack, or the pool of a retriever, on data sets in BEIR form."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from routeret.artifact import MANIFEST, sha256_of
from routeret.datasets import Dataset, load_dataset
from routeret.encoders import load_encoder
from routeret.errors import InputError, UnknownDocumentError
from routeret.evaluation.indexing import SearchedIndex, indexes_of
from routeret.evaluation.leaving_out import pool_without
from routeret.evaluation.provenance import Provenance
from routeret.evaluation.report import Report
from routeret.evaluation.scoring import score_dataset
from routeret.evaluation.seeds import SeedsReport, require_different_packs
from routeret.evaluation.settings import EvaluationSettings
from routeret.evaluation.systems import known_systems, require_systems
from routeret.experts.remembering import remembering
from routeret.index import Index
from routeret.packs import DEFAULT_PACK, Pack, read_pack
from routeret.repeats import first_repeated
from routeret.retriever import Retriever
from routeret.retriever.own_spaces import common_fusion
from routeret.retriever.pool import Pool, load_pool
from routeret.retriever.searching import Searcher


def evaluate(
    data: Sequence[Path | str],
    *,
    pack: str | Path | None = None,
    index: Path | str | None = None,
    settings: EvaluationSettings | None = None,
    device: str | None = None,
    show_progress: bool = False,
) -> Report:
    """Compare base, BM25, experts, routing and its controls on data sets.

    A hit that is the query itself (the same id and the same text, as in ArguAna and Quora) does not count. Where
    documents are cut into spans, a document's score is the best of its spans.

    Args:
        data: BEIR folders; a set's name is its folder's name.
        pack: experts and router, by name or folder; ``"minilm-domains"`` where neither pack nor index is given.
        index: a retriever's folder, whose documents, experts and router are taken as they are; document ids of the
            sets stand in it as they are or as ``<set>/<id>``.
        settings: which queries and systems, and how; the defaults where None.
        device: where a model runs.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: no data, two sets of one name, both a pack and an index, both a chunker and an index, an unknown
            pack or system, or a pack whose experts were measured with different fusions of spaces.
        CorpusError: a set cannot be read, lacks the split, or judges what it does not hold.
        UnknownDocumentError: a relevant document is not in the index.
    """
    settings = settings or EvaluationSettings()
    if pack is not None and index is not None:
        raise InputError("both a pack and an index were given; give one of them")
    if settings.chunker is not None and index is not None:
        raise InputError("both a chunker and an index were given; an index keeps the chunker it was built with")
    datasets = _datasets(data, settings.split)
    if index is not None:
        with Retriever.open(index, device=device) as retriever:
            require_systems(settings.systems or (), known_systems(retriever.expert_names))
            searched = {dataset.name: _found_in(retriever.index, dataset, settings.split) for dataset in datasets}
            pool = retriever.searcher.pool
            return _report(datasets, searched, pool, settings, pack=None, show_progress=show_progress)
    for dataset in datasets:
        dataset.check(settings.split)
    chosen = read_pack(DEFAULT_PACK if pack is None else pack)
    # Before hours of embedding.
    require_systems(settings.systems or (), known_systems(list(chosen.expert_folders)))
    base = load_encoder(chosen.base, device=device)
    pool = load_pool(
        base,
        experts=list(chosen.expert_folders.values()),
        router=chosen.router_folder,
        lexical_weight=chosen.lexical_weight,
        device=device,
    )
    # Every system asks the same queries of the same experts.
    pool = replace(
        pool,
        experts=tuple(remembering(expert) for expert in pool.experts),
        space_fusion=common_fusion(pool.tower_by_name.values()),
    )
    with indexes_of(
        datasets,
        base,
        towers=list(pool.tower_by_name.values()),
        chunker=settings.chunker,
        merged=settings.merged,
        cache=settings.cache,
        show_progress=show_progress,
    ) as searched:
        return _report(datasets, searched, pool, settings, pack=_fingerprint(chosen), show_progress=show_progress)


def evaluate_seeds(
    data: Sequence[Path | str],
    packs: Sequence[Path | str],
    *,
    settings: EvaluationSettings | None = None,
    device: str | None = None,
    show_progress: bool = False,
) -> SeedsReport:
    """Compare the same systems of several trainings of one pack, each from a seed of its own.

    Args:
        data: BEIR folders; a set's name is its folder's name.
        packs: at least two, by name or folder, each once; of one recipe but for the seed.
        settings: which queries and systems, and how; the defaults where None.
        device: where a model runs.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: fewer than two packs were given, or one twice, or they do not have one base, or not the same
            systems; or as in :func:`evaluate`.
        CorpusError: as in :func:`evaluate`.
    """
    settings = settings or EvaluationSettings()
    names = [str(packs)] if isinstance(packs, str | Path) else [str(pack) for pack in packs]
    _require_trainings(names, settings.systems or ())
    reports = {}
    for number, name in enumerate(names, start=1):
        runs = None if settings.save_runs is None else Path(settings.save_runs) / str(number)
        reports[name] = evaluate(
            data, pack=name, settings=replace(settings, save_runs=runs), device=device, show_progress=show_progress
        )
    return SeedsReport.of(reports)


def _require_trainings(names: Sequence[str], systems: Sequence[str]) -> None:
    """Do nothing if packs can be measured side by side; told before the first of them is measured.

    Raises:
        InputError: there are fewer than two, two are the same, have other bases, or one has not the systems.
    """
    packs = [(name, read_pack(name)) for name in names]
    require_different_packs([(name, _fingerprint(pack)) for name, pack in packs])
    (first_name, first), *_ = packs
    for name, pack in packs:
        if (pack.space, pack.query_tower) != (first.space, first.query_tower):
            raise InputError(
                f"{first_name!r} has the base {first.base!r} with query tower {first.query_tower}, {name!r} has "
                f"{pack.base!r} with {pack.query_tower}; give packs of one recipe and base"
            )
        require_systems(systems, known_systems(list(pack.expert_folders)))


def _fingerprint(pack: Pack) -> str:
    """16 hexadecimal digits of all that a pack is."""
    return sha256_of(pack.folder / MANIFEST)[:16]


def _pools(
    datasets: Sequence[Dataset], searched: Mapping[str, SearchedIndex], pool: Pool, *, leave_out: bool
) -> dict[str, Pool]:
    """The pool that answers the queries of every dataset, by its name."""
    if not leave_out:
        return {dataset.name: pool for dataset in datasets}
    pools = {}
    for dataset in datasets:
        index, prefix = searched[dataset.name].index, searched[dataset.name].prefix
        ids = [prefix + document.id for document in dataset.corpus]
        # An index of one's own need not hold what no query asks for.
        numbers = index.numbers([one for one, is_there in zip(ids, index.contains(ids), strict=True) if is_there])
        keys = index.content_keys(numbers)
        pools[dataset.name] = pool_without(pool, dataset.name, keys, queries=list(dataset.queries.values()))
    return pools


def _report(
    datasets: Sequence[Dataset],
    searched: Mapping[str, SearchedIndex],
    pool: Pool,
    settings: EvaluationSettings,
    *,
    pack: str | None,
    show_progress: bool,
) -> Report:
    pools = _pools(datasets, searched, pool, leave_out=settings.leave_out)
    searchers: dict[tuple[int, int], Searcher] = {}
    reports = {}
    for dataset in datasets:
        index, asked = searched[dataset.name].index, pools[dataset.name]
        searcher = searchers.setdefault((id(index), id(asked)), Searcher(index, asked))
        reports[dataset.name] = score_dataset(
            dataset, searched[dataset.name], searcher, settings=settings, show_progress=show_progress
        )
    provenance = Provenance.here(
        settings.split,
        pack=pack,
        indexes={name: one.fingerprint for name, one in searched.items()},
        # All of them were cut alike.
        chunker=next(iter(searched.values())).index.chunker.as_dict(),
        left_out=settings.leave_out,
    )
    return Report.from_datasets(reports, merged=settings.merged, provenance=provenance)


def _datasets(data: Sequence[Path | str], split: str) -> list[Dataset]:
    if isinstance(data, str | Path) or not data:
        raise InputError(f"data is {data!r}, expected a list of at least one BEIR folder")
    datasets = [load_dataset(folder) for folder in data]
    names = [dataset.name for dataset in datasets]
    twice = first_repeated(names)
    if twice is not None:
        raise InputError(f"two data sets are called {twice!r}; rename the folder of one")
    for dataset in datasets:
        dataset.split(split)
    return datasets


def _found_in(index: Index, dataset: Dataset, split: str) -> SearchedIndex:
    """Where the documents of a data set stand in an index."""
    _, qrels = dataset.split(split)
    ids = sorted({document for grades in qrels.values() for document, grade in grades.items() if grade > 0})
    for prefix in ("", f"{dataset.name}/"):
        if index.contains([prefix + document for document in ids]).all():
            return SearchedIndex(index, prefix, index.space.fingerprint)
    missing = [document for document, found in zip(ids, index.contains(ids), strict=True) if not found]
    raise UnknownDocumentError(
        f"document {missing[0]!r}, which {dataset.name!r} judges relevant, is not in index {index.folder.name!r} "
        f"({len(missing)} of {len(ids)} are not); add the data set's corpus first"
    )
