"""Retrievers in a temporary folder, all with the same pack and base."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from routeret.chunking import Chunker
from routeret.encoders import load_encoder
from routeret.index.structures.choosing import EXACT
from routeret.protocols import Encoder
from routeret.retriever import Retriever
from routeret.retriever.creating import pack_and_base


class TemporaryRetrievers:
    """Makes retrievers without documents, one after the other; the base model is loaded once."""

    def __init__(
        self,
        *,
        pack: str | Path | None,
        base: str | Path | Encoder | None,
        chunker: Chunker | None,
        device: str | None,
        download: bool,
    ) -> None:
        """Load the base and make the folder.

        Args:
            pack: experts and router, by name or folder; the usual pack where neither pack nor base is given.
            base: a base model by name or path, or an encoder.
            chunker: cuts documents into spans; None leaves them whole.
            device: where a model runs.
            download: fetch a model that is not on this machine.

        Raises:
            InputError: there is no such pack.
            ModelNotFoundError: the base model is nowhere on this machine.
        """
        chosen, named = pack_and_base(pack, base)
        self._pack = None if chosen is None else chosen.folder
        self._base = load_encoder(named, device=device, download=download)
        self._chunker = chunker
        self._device = device
        self._folder = TemporaryDirectory(prefix="routeret-search-")
        self._n_made = 0

    def new(self) -> Retriever:
        """A retriever without documents, which will be searched exactly; the one before must be closed, and goes."""
        for before in Path(self._folder.name).iterdir():
            shutil.rmtree(before)
        self._n_made += 1
        path = Path(self._folder.name) / f"retriever-{self._n_made}"
        retriever = Retriever.create(path, pack=self._pack, base=self._base, chunker=self._chunker, device=self._device)
        retriever.optimise(factory=EXACT)
        return retriever

    def close(self) -> None:
        """Remove the folder; every retriever in it must be closed."""
        self._folder.cleanup()
