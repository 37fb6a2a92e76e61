"""What all sides of the benchmark embed, in one folder that a process of any side can read."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from routeret.artifact import write_json
from routeret.benchmarks.models.facts import ModelFacts
from routeret.corpus import Corpus
from routeret.types import Document

_FACTS = "material.json"
_TEXTS = "texts.json"
_CORPUS = "corpus.jsonl"


class BuildMaterial:
    """The folder: the model's facts, and the documents, as documents and as the texts that a model reads."""

    def __init__(self, folder: Path) -> None:
        """Open what :func:`write_build_material` wrote."""
        self.folder = folder
        self.facts = ModelFacts(**json.loads((folder / _FACTS).read_text(encoding="utf-8")))

    @property
    def corpus(self) -> Corpus:
        """The documents, read anew at every pass."""
        return Corpus.from_path(self.folder / _CORPUS)

    def texts(self) -> list[str]:
        """Title and text of every document joined, without the prompt, in the order of the documents."""
        texts: list[str] = json.loads((self.folder / _TEXTS).read_text(encoding="utf-8"))["texts"]
        return texts


def write_build_material(
    folder: Path, facts: ModelFacts, documents: Sequence[Document], texts: Sequence[str]
) -> BuildMaterial:
    """Write what is embedded.

    Args:
        folder: is there.
        facts: of the model.
        documents: without their metadata.
        texts: what the model reads of each.
    """
    lines = ({"_id": one.id, "title": one.title, "text": one.text} for one in documents)
    (folder / _CORPUS).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    write_json(folder / _FACTS, asdict(facts))
    write_json(folder / _TEXTS, {"texts": list(texts)})
    return BuildMaterial(folder)
