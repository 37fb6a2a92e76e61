"""A search structure with what is known of it: how it was built, what it finds, and the folder it is kept in."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import MANIFEST, differing_files, new_folder, read_manifest, write_manifest
from routeret.errors import ArtifactError, InputError
from routeret.index.structures.choosing import EXACT, factories
from routeret.index.structures.faiss_structure import FaissStructure, read, sample_size, trained
from routeret.index.structures.rows import RowVectors
from routeret.index.structures.tuning import Probes, Probing, Settings, cheapest, document_probes, recall_at
from routeret.optional import require
from routeret.types import FloatArray

ANN = "ann"
"""The folder of a structure in an index, and the kind in its manifest."""

RECALL = 0.99

_FORMAT = 1
_FILE = "structure.faiss"
_GROWN_AT_MOST = 2


@dataclass(frozen=True, slots=True)
class Ann:
    """How the first rows of an index are searched; derived from the stored vectors and never changed.

    Attributes:
        structure: None where exact search is the answer.
        settings: how the structure is searched.
        n_rows: how many rows it covers, from 0.
        n_trained: how many rows there were when it was trained.
        target: the recall of the ten best rows that every probe set should reach.
        recall: what each probe set reaches; 1 for exact search.
        seed: of training and sampling.
        reason: why there is no structure, or why not the one asked for; empty if all is as it should be.
    """

    structure: FaissStructure | None
    settings: Settings
    n_rows: int
    n_trained: int
    target: float
    recall: dict[str, float]
    seed: int
    reason: str = ""

    @property
    def factory(self) -> str:
        """The FAISS factory string, or ``"exact"``."""
        return EXACT if self.structure is None else self.structure.factory

    def info(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "factory": self.factory,
            "rows": self.n_rows,
            "rows_trained": self.n_trained,
            "effort": self.settings.effort,
            "refined": self.settings.n_refined,
            "recall_target": self.target,
            "recall": dict(self.recall),
            "recall_worst": min(self.recall.values(), default=1.0),
            "seed": self.seed,
            "reason": self.reason,
        }

    def measured(self, vectors: RowVectors, probes: Probes) -> "Ann":
        """The same structure with the recall of these probes; where they miss the target, it tries harder.

        The recall of other probe sets stays: trying harder finds no less for them.

        Args:
            vectors: the stored vectors.
            probes: queries by the name of who writes them.

        Raises:
            InputError: the probes have another shape than the vectors.
        """
        if self.structure is None:
            return replace(self, recall={**self.recall, **dict.fromkeys(probes, 1.0)})
        probing = Probing(vectors, probes, n_rows=self.n_rows)
        found = recall_at(self.structure, probing, self.settings)
        if min(found.values()) >= self.target:
            return replace(self, recall={**self.recall, **found})
        tuned = cheapest(self.structure, probing, recall=self.target, least_effort=self.settings.effort)
        if tuned is None:
            worst = min(found, key=lambda name: found[name])
            reason = f"{self.factory} cannot reach recall {self.target} on probes {worst!r}"
            return _exact(self.n_rows, target=self.target, names=[*self.recall, *found], seed=self.seed, reason=reason)
        settings = replace(tuned[0], n_refined=max(tuned[0].n_refined, self.settings.n_refined))
        return replace(self, settings=settings, recall={**self.recall, **tuned[1]})

    def save(self, folder: Path, *, space: str, generation: int) -> None:
        """Write the folder whole or not at all, over an older one.

        Args:
            folder: usually ``ann`` in the index.
            space: fingerprint of the vectors' space.
            generation: of the index.
        """
        with new_folder(folder, replace=True) as temporary:
            n_bytes, version = 0, ""
            if self.structure is not None:
                version = str(require("faiss", extra="cpu").__version__)
                self.structure.write(temporary / _FILE)
                n_bytes = (temporary / _FILE).stat().st_size
            fields = {
                **self.info(),
                "space": space,
                "generation": generation,
                "faiss": version,
                "bytes": n_bytes,
            }
            write_manifest(temporary, kind=ANN, format_number=_FORMAT, fields=fields)


def build(
    vectors: RowVectors,
    *,
    factory: str | None = None,
    recall: float = RECALL,
    probes: Probes | None = None,
    seed: int = 0,
    previous: Ann | None = None,
) -> Ann:
    """The structure for all rows that there are now, measured.

    Of the vectors, a training sample and one block are in memory at a time.

    Args:
        vectors: the stored vectors.
        factory: a FAISS factory string, or ``"exact"``; None chooses by size.
        recall: what every probe set's ten best rows must reach; above 0, at most 1.
        probes: queries by the name of who writes them; None makes some of documents.
        seed: of training and sampling.
        previous: a structure of the same vectors' first rows; while they have not more than doubled since it was
            trained, the new rows are put into a copy of it, which is several times faster than training.

    Raises:
        InputError: FAISS cannot make the factory string, or ``recall`` or the probes are out of range.
        MissingExtraError: faiss is not installed, and there are too many rows for exact search.
    """
    if not 0 < recall <= 1:
        raise InputError(f"recall is {recall}, expected above 0 and at most 1")
    n_rows = vectors.n_rows
    wanted = factories(n_rows, vectors.dim) if factory is None else (factory,)
    if not n_rows or not wanted or wanted == (EXACT,):
        names = probes or ()
        return _exact(n_rows, target=recall, names=names, seed=seed, reason="")
    probing = Probing(
        vectors, document_probes(vectors, seed=seed, n_rows=n_rows) if probes is None else probes, n_rows=n_rows
    )
    reason = ""
    for name in wanted:
        structure, n_trained = _structure(vectors, name, seed=seed, previous=previous)
        tuned = cheapest(structure, probing, recall=recall)
        if tuned is not None:
            settings, found = tuned
            return Ann(structure, settings, n_rows, n_trained, recall, found, seed, reason)
        reason = f"{name} cannot reach recall {recall}"
    return _exact(n_rows, target=recall, names=probing.names, seed=seed, reason=reason)


def open_ann(folder: Path, *, space: str, generation: int, n_rows: int) -> Ann:
    """The structure of a folder, in milliseconds: its file's size is compared, its checksum only by :func:`damaged`.

    Args:
        folder: usually ``ann`` in the index.
        space: fingerprint of the vectors' space.
        generation: of the index.
        n_rows: how many rows the snapshot has; the structure must not cover more.

    Raises:
        ArtifactError: it is missing, damaged, of another format, or of another state of the index; build it again.
        MissingExtraError: faiss is not installed.
    """
    manifest = read_manifest(folder, kind=ANN, format_number=_FORMAT, verify=False)
    try:
        _require_fresh(folder, manifest, space=space, generation=generation, n_rows=n_rows)
        structure = None
        if manifest["factory"] != EXACT:
            structure = _read(folder / _FILE, manifest)
        return Ann(
            structure,
            Settings(int(manifest["effort"]), int(manifest["refined"])),
            int(manifest["rows"]),
            int(manifest["rows_trained"]),
            float(manifest["recall_target"]),
            {str(name): float(value) for name, value in manifest["recall"].items()},
            int(manifest["seed"]),
            str(manifest["reason"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"{folder / MANIFEST} is damaged ({error!r}); build the structure again") from error


def damaged(folder: Path) -> list[str]:
    """What is wrong with the files of a folder, by their checksums, one sentence a file; empty if nothing is."""
    try:
        files: dict[str, str] = read_manifest(folder, kind=ANN, format_number=_FORMAT, verify=False)["files"]
        differing = list(differing_files(folder, files))
    except (ArtifactError, KeyError, AttributeError) as error:
        return [f"{folder / MANIFEST} cannot be read: {error}"]
    return [
        f"{file} is missing, and {MANIFEST} lists it; build the structure again"
        if found is None
        else f"{file} is damaged: its checksum is not {files[file.name][:16]}...; build the structure again"
        for file, found in differing
    ]


def _exact(n_rows: int, *, target: float, names: Iterable[str], seed: int, reason: str) -> Ann:
    return Ann(None, Settings(1, 20), n_rows, n_rows, target, dict.fromkeys(names, 1.0), seed, reason)


def _structure(vectors: RowVectors, factory: str, *, seed: int, previous: Ann | None) -> tuple[FaissStructure, int]:
    n_rows = vectors.n_rows
    old = None if previous is None else previous.structure
    if previous is not None and old is not None and old.factory == factory:
        if previous.n_rows <= n_rows <= _GROWN_AT_MOST * previous.n_trained:
            return old.grown(vectors.blocks(previous.n_rows, n_rows)), previous.n_trained
    sample = _sample(vectors, sample_size(factory, vectors.dim, n_rows), seed=seed)
    return trained(factory, sample, vectors.blocks(0, n_rows), seed=seed), n_rows


def _sample(vectors: RowVectors, n_sampled: int, *, seed: int) -> FloatArray:
    rows = np.random.default_rng(seed).choice(vectors.n_rows, size=n_sampled, replace=False)
    return vectors.take(np.sort(rows))


def _read(path: Path, manifest: dict[str, Any]) -> FaissStructure:
    if not path.is_file():
        raise ArtifactError(f"{path} is missing, and {MANIFEST} lists it; build the structure again")
    n_bytes = path.stat().st_size
    if n_bytes != manifest["bytes"]:
        raise ArtifactError(f"{path} has {n_bytes} bytes, expected {manifest['bytes']}; build the structure again")
    structure = read(path, manifest["factory"])
    if structure.n_rows != manifest["rows"]:
        raise ArtifactError(
            f"{path} covers {structure.n_rows} rows, {MANIFEST} says {manifest['rows']}; build the structure again"
        )
    return structure


def _require_fresh(folder: Path, manifest: dict[str, Any], *, space: str, generation: int, n_rows: int) -> None:
    if manifest["space"] != space or manifest["generation"] != generation:
        raise ArtifactError(
            f"{folder} is of space {manifest['space']} and generation {manifest['generation']}, the index of space "
            f"{space} and generation {generation}; build the structure again"
        )
    if manifest["rows"] > n_rows:
        raise ArtifactError(
            f"{folder} covers {manifest['rows']} rows, the index has {n_rows} here; build the structure again, or "
            "refresh the index"
        )
