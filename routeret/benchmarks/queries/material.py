"""What all sides of the benchmark are measured on, in one folder that a process of any side can read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import write_json
from routeret.benchmarks.models.facts import ModelFacts
from routeret.types import FloatArray

K = 10
"""How many documents a query asks for."""

_FACTS = "material.json"
_TEXTS = "texts.json"
_IDS = "ids.json"
_VECTORS = "vectors.npy"


class Material:
    """The folder: the model's facts, the queries of every measurement, documents' vectors and ids, indexes."""

    def __init__(self, folder: Path) -> None:
        """Open what :func:`write_material` wrote."""
        self.folder = folder
        self.facts = ModelFacts(**_read(folder / _FACTS))

    def texts(self) -> dict[str, list[str]]:
        """The queries by what they are for; no query is in two of them."""
        texts: dict[str, list[str]] = _read(self.folder / _TEXTS)
        return texts

    def ids(self) -> list[str]:
        """The ids of all documents, in the order of their vectors."""
        ids: list[str] = _read(self.folder / _IDS)["ids"]
        return ids

    def vectors(self) -> FloatArray:
        """The documents' vectors, float32, shape (n_documents, dim)."""
        vectors: FloatArray = np.load(self.folder / _VECTORS)
        return vectors

    def index_folder(self, name: str) -> Path:
        """The folder of an index; all hold the same documents, each with another pool."""
        return self.folder / f"index-{name}"

    def pack_folder(self, name: str) -> Path:
        """The folder of a pack that was made for the benchmark."""
        return self.folder / f"pack-{name}"


def write_material(
    folder: Path, facts: ModelFacts, *, texts: Mapping[str, Sequence[str]], ids: Sequence[str], vectors: FloatArray
) -> Material:
    """Write what is measured on.

    Args:
        folder: is there.
        facts: of the model.
        texts: the queries by what they are for.
        ids: of the documents.
        vectors: float32, shape (n_documents, dim).
    """
    write_json(folder / _FACTS, asdict(facts))
    write_json(folder / _TEXTS, {name: list(found) for name, found in texts.items()})
    write_json(folder / _IDS, {"ids": list(ids)})
    np.save(folder / _VECTORS, vectors)
    return Material(folder)


def _read(file: Path) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads(file.read_text(encoding="utf-8"))
