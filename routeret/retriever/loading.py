"""The base model, the experts and the router of an open retriever, loaded when they are first needed."""

import threading
from pathlib import Path

from routeret.encoders import load_encoder
from routeret.errors import InputError
from routeret.index import Index
from routeret.index.reading import Reader
from routeret.protocols import Encoder
from routeret.retriever.folder import Contents
from routeret.retriever.index_map import IndexMap
from routeret.retriever.known_documents import KnownDocuments
from routeret.retriever.learned_map import LearnedMap
from routeret.retriever.pool import Pool, load_pool, require_query_tower
from routeret.retriever.probing import probe_queries
from routeret.retriever.searching import Searcher
from routeret.space import Space
from routeret.types import FloatArray


class Loader:
    """Loads what searching needs, each thing once; several threads may ask."""

    def __init__(
        self, index: Index, contents: Contents, *, base: str | Path | Encoder | None, device: str | None
    ) -> None:
        """Keep what is to be loaded.

        Args:
            index: what will be searched.
            contents: what the retriever's manifest says.
            base: the base model, or the encoder itself; None where nobody knows it.
            device: where a model runs.
        """
        self._index = index
        self._contents = contents
        self._given_base = base
        self._device = device
        self._loading = threading.RLock()
        self._base: Encoder | None = None
        self._pool: Pool | None = None
        self._searcher: Searcher | None = None
        self._learned: FloatArray | None = None
        self._index_map = IndexMap(index.folder)
        self._known: KnownDocuments | None = None

    @property
    def contents(self) -> Contents:
        """What the retriever's manifest says."""
        return self._contents

    @property
    def device(self) -> str | None:
        """Where a model was asked to run."""
        return self._device

    def renew(self, contents: Contents) -> None:
        """Take notice that the index has changed, and perhaps the pool; the base stays loaded.

        Args:
            contents: what the retriever's manifest says now.
        """
        with self._loading:
            if contents != self._contents:
                self._contents = contents
                self._pool = self._learned = self._known = None
            elif self._searcher is not None:
                self._known = self._searcher.known_documents
            self._searcher = None

    def base(self) -> Encoder:
        """The base encoder.

        Raises:
            InputError: nobody said which it is.
            ModelNotFoundError: it is nowhere on this machine.
            SpaceMismatchError: it has changed since the index or the experts were made.
        """
        with self._loading:
            if self._base is None:
                self._base = self._checked_base()
            return self._base

    def searcher(self) -> Searcher:
        """What searches the index as it is now.

        Raises:
            ArtifactError: an expert or the router is damaged.
            SpaceMismatchError: the base has changed since the index or the experts were made.
        """
        with self._loading:
            if self._searcher is None:
                self._searcher = Searcher(
                    self._index,
                    self._loaded_pool(),
                    index_map=self._index_map,
                    learned=self._learned_weight(),
                    known_before=self._known,
                )
            return self._searcher

    def encoders(self) -> list[Encoder]:
        """What embeds documents: the base and, behind it, one encoder for every further space of the pool.

        Raises:
            ArtifactError: an expert is damaged.
            SpaceMismatchError: a model has changed since the index or the experts were made.
        """
        with self._loading:
            if not self._contents.own_spaces:
                return [self.base()]
            towers = self._loaded_pool().tower_by_name.values()
            by_space = {tower.space.fingerprint: tower.encoder for tower in towers}
            return [self.base(), *by_space.values()]

    def probes(self, index: Reader, space: Space) -> dict[str, FloatArray]:
        """Queries to measure the search structure of a space on, as base and experts write them into it."""
        return probe_queries(index, self.searcher().pool, space=space)

    def _loaded_pool(self) -> Pool:
        if self._pool is None:
            folder, contents = self._index.folder, self._contents
            self._pool = load_pool(
                self.base(),
                experts=[folder / entry.folder for entry in contents.experts],
                router=folder / contents.router if contents.router else None,
                lexical_weight=contents.lexical_weight,
                space_fusion=contents.space_fusion,
                device=self._device,
            )
        return self._pool

    def _learned_weight(self) -> FloatArray | None:
        """The map that tuning without labels has learned; None without one."""
        if self._learned is None and self._contents.index_map is not None:
            folder = self._index.folder / self._contents.index_map
            self._learned = LearnedMap.load(folder, dim=self._index.space.dim).weight
        return self._learned

    def _checked_base(self) -> Encoder:
        folder, contents = self._index.folder, self._contents
        if self._given_base is None:
            raise InputError(
                f"{folder} was created with an encoder of your own, which cannot be saved; give it again: "
                f"Retriever.open({str(folder)!r}, base=encoder)"
            )
        encoder = load_encoder(self._given_base, device=self._device)
        named = f"base {contents.model!r}" if contents.model else "the base"
        self._index.space.require_same(encoder.space, here=f"index {folder.name!r}", there=named)
        if contents.experts or contents.index_map:
            require_query_tower(encoder.query_tower, contents.query_tower, of=f"the router of index {folder.name!r}")
        return encoder
