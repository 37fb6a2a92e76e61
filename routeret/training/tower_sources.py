"""What towers are trained on, from files: mined pairs, bipartite graphs, and the train queries of BEIR folders."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from routeret.datasets import load_dataset
from routeret.errors import InputError
from routeret.mining import BipartiteGraph, graph_of_pairs, graph_of_qrels
from routeret.training.moe import MoeDomain
from routeret.training.tower_recipe import TowerTask
from routeret.training.tower_recipe_file import TaskSettings


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

    Args:
        folders: name of the domain and folder; a name that comes again brings one more folder to its domain.

    Raises:
        CorpusError: a folder cannot be read, or has no train split.
    """
    by_name: dict[str, list[Path]] = {}
    for name, folder in folders:
        by_name.setdefault(name, []).append(folder)
    return [
        MoeDomain(name, [TowerTask(graph_of_qrels(load_dataset(one), "train")) for one in own], own)
        for name, own in by_name.items()
    ]


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
