"""What towers are trained on, from files: mined pairs, bipartite graphs, and the train queries of BEIR folders."""

from collections.abc import Sequence
from pathlib import Path

from routeret.datasets import load_dataset
from routeret.errors import InputError
from routeret.mining import BipartiteGraph, graph_of_pairs, graph_of_qrels
from routeret.training.moe import MoeDomain
from routeret.training.tower_recipe import TowerTask


def tasks_of(sources: Sequence[Path | str], *, corpus: Path | str | None = None) -> list[TowerTask]:
    """A task for every source, with the usual weight and temperature.

    Args:
        sources: files of pairs, as ``routeret mine cocitations`` writes them, or folders of ``routeret mine
            bipartite``.
        corpus: the documents that the pairs name.

    Raises:
        InputError: a file of pairs came without a corpus.
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
