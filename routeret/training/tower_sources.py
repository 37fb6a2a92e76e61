"""What towers are trained on, from files: mined pairs, bipartite graphs, and the train queries of BEIR folders."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from routeret.datasets import Dataset, load_dataset
from routeret.errors import InputError
from routeret.mining import BipartiteGraph, graph_of_pairs, graph_of_qrels
from routeret.training.measuring import held_out_rows
from routeret.training.moe import MoeDomain
from routeret.training.tower_recipe import TowerTask
from routeret.training.tower_recipe_file import TaskSettings
from routeret.types import Qrels


def tasks_of(
    sources: Sequence[Path | str], *, corpus: Path | str | None = None, settings: Sequence[TaskSettings] = ()
) -> list[TowerTask]:
    """A task for every source, with the usual weight and temperature where no settings name it.

    Args:
        sources: files of pairs, as ``routeret mine cocitations`` writes them, or folders of ``routeret mine
            bipartite``.
        corpus: the documents that the pairs name.
        settings: weights and temperatures for some of the sources.

    Raises:
        InputError: a file of pairs came without a corpus, or settings name no source, several, or one that others name.
        CorpusError: a file of pairs cannot be read, or does not fit the corpus.
        ArtifactError: a folder is no bipartite graph, or is damaged.
    """
    tasks = []
    for source in map(Path, sources):
        if source.is_dir():
            tasks.append(TowerTask(BipartiteGraph.load(source)))
        elif corpus is None:
            raise InputError(f"{source} holds pairs of ids; give the corpus that they name with --corpus (corpus=)")
        else:
            tasks.append(TowerTask(graph_of_pairs(source, corpus)))
    named: dict[int, str] = {}
    for one in settings:
        place = _place(one.name, sources, tasks)
        if place in named:
            raise InputError(
                f"tasks {named[place]!r} and {one.name!r} of the recipe both mean {sources[place]}; leave one out"
            )
        named[place] = one.name
        tasks[place] = replace(tasks[place], weight=one.weight, temperature=one.temperature)
    return tasks


def domains_of(folders: Sequence[tuple[str, Path]]) -> list[MoeDomain]:
    """Domains whose pairs are the train queries of BEIR folders and their relevant documents.

    The queries that judge a domain are not among them: see :func:`graph_of_train`.

    Args:
        folders: name of the domain and folder; a name that comes again brings one more folder to its domain.

    Raises:
        CorpusError: a folder cannot be read, has no train split, or neither dev queries nor enough train queries to
            hold some out.
    """
    by_name: dict[str, list[Path]] = {}
    for name, folder in folders:
        by_name.setdefault(name, []).append(folder)
    return [
        MoeDomain(name, [TowerTask(graph_of_train(load_dataset(one))) for one in own], own)
        for name, own in by_name.items()
    ]


def graph_of_train(dataset: Dataset) -> BipartiteGraph:
    """The graph of a data set's train queries (left) and their relevant documents (right), to train on.

    Without dev queries some of the train queries judge what is trained, and are left out (see
    :func:`~routeret.training.measuring.divide`).

    Raises:
        CorpusError: there is no train split, it judges what is not there, or there are neither dev queries nor enough
            train queries to hold some out.
    """
    graph = graph_of_qrels(dataset, "train")
    if _has_relevant(dataset.qrels_by_split.get("dev", {})):
        return graph
    held_out = held_out_rows(graph.left_ids, name=dataset.name)
    return BipartiteGraph.from_edges(
        graph.name,
        graph.edges[~np.isin(graph.edges[:, 0], held_out)],
        left=dict(zip(graph.left_ids, graph.left_texts, strict=True)),
        right=dict(zip(graph.right_ids, graph.right_texts, strict=True)),
    )


def _has_relevant(qrels: Qrels) -> bool:
    return any(grade > 0 for grades in qrels.values() for grade in grades.values())


def _place(name: str, sources: Sequence[Path | str], tasks: Sequence[TowerTask]) -> int:
    """The place of the source that a name means: that of its graph, or its path."""
    places = [
        place
        for place, (source, task) in enumerate(zip(sources, tasks, strict=True))
        if name == task.graph.name or Path(name).resolve() == Path(source).resolve()
    ]
    if len(places) != 1:
        known = ", ".join(f"{task.graph.name!r} ({source})" for source, task in zip(sources, tasks, strict=True))
        raise InputError(
            f"task {name!r} of the recipe means {len(places)} of the sources {known}; expected the name of one, or its "
            f"path where names are the same"
        )
    return places[0]
