"""What a side must do to write vectors of documents."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from routeret.benchmarks.building.material import BuildMaterial
from routeret.benchmarks.sides import Side
from routeret.errors import InputError
from routeret.types import FloatArray


class EncodingSide(Side):
    """A way from documents to vectors."""

    def __init__(self, material: BuildMaterial) -> None:
        """Keep what it is measured on."""
        self.material = material

    @abstractmethod
    def encode(self, start: int, end: int) -> FloatArray:
        """Vectors of a block of the material's documents, float32, shape (end - start, dim)."""

    def build(self, folder: Path) -> dict[str, Any]:
        """Build what searches all documents into a new folder.

        Returns:
            Plain JSON values: ``ms``, by part, and how many texts were ``embedded``.

        Raises:
            InputError: the side only writes vectors.
        """
        raise InputError(f"{type(self).__name__} builds no index in {folder.name!r}; ask a side that does")
