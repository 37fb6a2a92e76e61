"""An index whose search structures can be built and measured."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from routeret.errors import InputError
from routeret.index import changing
from routeret.index.derived import build_structure, measure_structure, open_search, structure_mark
from routeret.index.reading import Reader
from routeret.index.store import Store
from routeret.index.structures.ann import RECALL
from routeret.index.structures.gpu_placing import GPU_FACTORIES, Device
from routeret.index.structures.gpu_rows import on_gpu
from routeret.index.structures.tuning import Probes
from routeret.optional import is_installed
from routeret.space import Space
from routeret.types import FloatArray

ProbeSource = Callable[[Reader, Space], Mapping[str, FloatArray]]
"""Gives queries of a space by the name of who writes them, float32, shape (n_queries, dim); none where nobody does."""


class Optimiser(Reader):
    """A reader that also makes what searching needs."""

    def __init__(
        self, folder: Path, store: Store, *, probes: ProbeSource | None = None, device: Device | None = None
    ) -> None:
        """Keep an open store.

        Args:
            folder: the index's folder.
            store: open for reading.
            probes: gives the queries on which the recall of a new structure is measured.
            device: a GPU that searches the first space; None for the CPU.
        """
        super().__init__(folder, store, device=device)
        self._probes = probes

    def optimise(
        self,
        *,
        recall: float = RECALL,
        factory: str | None = None,
        probes: Mapping[str, FloatArray] | None = None,
        space: Space | None = None,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Build the search structure of a space again, over all rows; gives what was built and measured.

        Adding documents does so by itself when it pays, with the recall and the factory that were given last. Nothing
        is embedded, and searches go on with the old structure.

        Args:
            recall: which share of the ten nearest rows a search must find, for the worst of the probe sets.
            factory: a FAISS factory string, or ``"exact"``; None chooses by the number of rows. ``"CAGRA"`` is a graph
                on the GPU that the index was opened with; it is not saved, and lasts as long as the index is open.
            probes: queries by the name of who writes them, float32, shape (n_queries, dim); the recall is measured on
                them. None makes some of documents.
            space: by default the first one.
            seed: of training and sampling.

        Raises:
            InputError: FAISS cannot make the factory string, or recall or probes are out of range.
            MissingExtraError: faiss is not installed.
            ArtifactError: the folder cannot be written.
        """
        if factory in GPU_FACTORIES:
            return self._optimise_on_gpu(factory, recall=recall, probes=probes, space=space or self.space, seed=seed)
        wanted = {"recall": recall} if factory is None else {"recall": recall, "factory": factory}
        if wanted != self._store.structure():
            changing.want_structure(self._folder, wanted)
            self.refresh()
        space = space or self.space
        vectors, _ = self._stored(space)
        search = build_structure(
            self._folder,
            space.fingerprint,
            vectors,
            self._snapshot,
            factory=factory,
            recall=recall,
            probes=probes,
            seed=seed,
        )
        with self._building:
            self._gpu_factory = None if space == self.space else self._gpu_factory
            self._marks[space.fingerprint] = structure_mark(self._folder, space.fingerprint)
            self._searches[space.fingerprint] = self._placed(space, vectors, search, recall=recall, probes=probes)
        return search.info()

    def measure(self, probes: Mapping[str, FloatArray], *, space: Space | None = None) -> dict[str, Any]:
        """Measure the recall of the search structure on further queries; it tries harder where they miss the target.

        Args:
            probes: queries by the name of who writes them, float32, shape (n_queries, dim).
            space: what they were written into; by default the first one.
        """
        space = space or self.space
        vectors, _ = self._stored(space)
        search = measure_structure(self._folder, space.fingerprint, vectors, self._snapshot, probes)
        with self._building:
            self._marks[space.fingerprint] = structure_mark(self._folder, space.fingerprint)
            self._searches[space.fingerprint] = self._placed(space, vectors, search, probes=probes)
        return search.info()

    def _optimise_on_gpu(
        self, factory: str, *, recall: float, probes: Probes | None, space: Space, seed: int
    ) -> dict[str, Any]:
        if self._device is None or space != self.space:
            raise InputError(
                f"factory {factory!r} is for the first space of an index that was opened with a GPU; open it with "
                "device='cuda:0', or take another factory"
            )
        vectors, _ = self._stored(space)
        search = on_gpu(
            vectors,
            open_search(self._folder, space.fingerprint, vectors, self._snapshot),
            self._device,
            factory=factory,
            recall=recall,
            probes=(lambda: self._own_probes(space)) if probes is None else (lambda: probes),
            seed=seed,
            is_built_now=True,
        )
        with self._building:
            self._gpu_factory = factory
            self._searches[space.fingerprint] = search
        return search.info()

    def _own_probes(self, space: Space) -> Probes | None:
        """Queries of whoever opened the index, to measure the structure of a space on."""
        return (self._probes(self, space) or None) if self._probes and len(self) else None

    def _derive(self) -> None:
        """Make what searches need now, and not at the first one."""
        for space in self.spaces:
            vectors = self._vectors[space.fingerprint]
            if vectors.n_rows == self.n_rows and self._search_of(space).is_due and is_installed("faiss"):
                wanted = self._store.structure()
                self.optimise(
                    recall=wanted.get("recall", RECALL),
                    factory=wanted.get("factory"),
                    probes=self._own_probes(space),
                    space=space,
                )
        if len(self):
            self.fulltext  # noqa: B018 - brought up to date when it is asked for
