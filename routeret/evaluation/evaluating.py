"""Evaluate a pack, or the pool of a retriever, on data sets in BEIR form."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from routeret.artifact import MANIFEST, sha256_of
from routeret.chunking import Chunker
from routeret.datasets import Dataset, load_dataset
from routeret.encoders import load_encoder
from routeret.errors import InputError, UnknownDocumentError
from routeret.evaluation.indexing import SearchedIndex, indexes_of
from routeret.evaluation.leaving_out import pool_without
from routeret.evaluation.provenance import Provenance
from routeret.evaluation.report import Report
from routeret.evaluation.scoring import Options, score_dataset
from routeret.evaluation.seeds import SeedsReport
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
    chunker: Chunker | None = None,
    merged: bool = False,
    leave_out: bool = False,
    split: str = "test",
    systems: Sequence[str] | None = None,
    save_runs: Path | None = None,
    cache: Path | str | None = None,
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
        chunker: with a pack, cuts documents into spans; None leaves them whole. An index has its own.
        merged: with a pack, search one index that holds all corpora instead of one a set; document ids are
            ``<set>/<id>`` there. With an index, only written into the report.
        leave_out: measure every set with a pool that has never seen it: without the training corpora of its name and
            source, and without every expert that was trained on one of them or over more than 1 % of its documents.
        split: which queries.
        systems: which systems, and always the base; ``"baselines"`` stands for every router that routing is compared
            with, ``"oracles"`` for all oracles, ``"usual"`` for what None takes: all but those of
            :data:`~routeret.evaluation.systems.ON_REQUEST`.
        save_runs: write every run in TREC form as ``<folder>/<set>/<system>.trec``.
        cache: keep embeddings in this folder for the next evaluation.
        device: where a model runs.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: no data, two sets of one name, both a pack and an index, both a chunker and an index, an unknown
            pack or system, or a pack whose experts were measured with different fusions of spaces.
        CorpusError: a set cannot be read, lacks the split, or judges what it does not hold.
        UnknownDocumentError: a relevant document is not in the index.
    """
    if pack is not None and index is not None:
        raise InputError("both a pack and an index were given; give one of them")
    if chunker is not None and index is not None:
        raise InputError("both a chunker and an index were given; an index keeps the chunker it was built with")
    datasets = _datasets(data, split)
    options = Options(split, systems, save_runs, None if cache is None else Path(cache), show_progress)
    if index is not None:
        with Retriever.open(index, device=device) as retriever:
            require_systems(systems or (), known_systems(retriever.expert_names))
            searched = {dataset.name: _found_in(retriever.index, dataset, split) for dataset in datasets}
            pools = _pools(datasets, searched, retriever.searcher.pool, leave_out=leave_out)
            return _report(datasets, searched, pools, options, merged=merged, leave_out=leave_out, pack=None)
    for dataset in datasets:
        dataset.check(split)
    chosen = read_pack(DEFAULT_PACK if pack is None else pack)
    # Before hours of embedding.
    require_systems(systems or (), known_systems(list(chosen.expert_folders)))
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
        chunker=chunker,
        merged=merged,
        cache=options.cache,
        show_progress=show_progress,
    ) as searched:
        pools = _pools(datasets, searched, pool, leave_out=leave_out)
        return _report(
            datasets, searched, pools, options, merged=merged, leave_out=leave_out, pack=_fingerprint(chosen)
        )


def evaluate_seeds(
    data: Sequence[Path | str],
    packs: Sequence[Path | str],
    *,
    chunker: Chunker | None = None,
    merged: bool = False,
    leave_out: bool = False,
    split: str = "test",
    systems: Sequence[str] | None = None,
    save_runs: Path | None = None,
    cache: Path | str | None = None,
    device: str | None = None,
    show_progress: bool = False,
) -> SeedsReport:
    """Compare the same systems of several trainings of one pack, each from a seed of its own.

    Args:
        data: BEIR folders; a set's name is its folder's name.
        packs: at least two, by name or folder, each once; of one recipe but for the seed.
        chunker: as in :func:`evaluate`, as are the options below.
        merged: search one index that holds all corpora instead of one a set.
        leave_out: measure every set with a pool that has never seen it.
        split: which queries.
        systems: which systems.
        save_runs: write every run in TREC form as ``<folder>/<number>/<set>/<system>.trec``, numbers of packs from 1.
        cache: keep embeddings in this folder; the packs share them.
        device: where a model runs.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: fewer than two packs were given, or one twice, or they do not have one base, or not the same
            systems; or as in :func:`evaluate`.
        CorpusError: as in :func:`evaluate`.
    """
    names = [packs] if isinstance(packs, str) else [str(pack) for pack in packs]
    twice = first_repeated(names)
    if len(names) < 2 or twice is not None:
        found = f"pack {twice!r} was given twice" if twice else f"packs is {names!r}"
        raise InputError(f"{found}; expected a list of at least two packs, each once")
    _require_trainings(names, systems or ())
    reports = {
        name: evaluate(
            data,
            pack=name,
            chunker=chunker,
            merged=merged,
            leave_out=leave_out,
            split=split,
            systems=systems,
            save_runs=None if save_runs is None else Path(save_runs) / str(number),
            cache=cache,
            device=device,
            show_progress=show_progress,
        )
        for number, name in enumerate(names, start=1)
    }
    return SeedsReport.of(reports)


def _require_trainings(names: Sequence[str], systems: Sequence[str]) -> None:
    """Do nothing if packs can be measured side by side; told before the first of them is measured.

    Raises:
        InputError: two are the same, have other bases, or one has not the systems.
    """
    packs = {name: read_pack(name) for name in names}
    (first_name, first), *_ = packs.items()
    name_by_fingerprint: dict[str, str] = {}
    for name, pack in packs.items():
        twin = name_by_fingerprint.setdefault(_fingerprint(pack), name)
        if twin != name:
            raise InputError(f"{twin!r} and {name!r} are the same pack; give trainings of other seeds")
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
    pools: Mapping[str, Pool],
    options: Options,
    *,
    merged: bool,
    leave_out: bool,
    pack: str | None,
) -> Report:
    searchers: dict[tuple[int, int], Searcher] = {}
    reports = {}
    for dataset in datasets:
        index, pool = searched[dataset.name].index, pools[dataset.name]
        searcher = searchers.setdefault((id(index), id(pool)), Searcher(index, pool))
        reports[dataset.name] = score_dataset(dataset, searched[dataset.name], searcher, options)
    fingerprints = {name: one.fingerprint for name, one in searched.items()}
    # All of them were cut alike.
    chunker = next(iter(searched.values())).index.chunker.as_dict()
    provenance = Provenance.here(options.split, pack=pack, indexes=fingerprints, chunker=chunker, left_out=leave_out)
    return Report.from_datasets(reports, merged=merged, provenance=provenance)


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
