"""What an expert is trained on: data sets in the base's space, and queries of other domains."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from routeret.datasets import load_dataset
from routeret.errors import CorpusError
from routeret.experts.sketch import TrainingSketch
from routeret.protocols import Encoder
from routeret.training.embedded import EmbeddedSet, cached, embed_dataset
from routeret.training.measuring import Division, divide
from routeret.training.scoring import JudgedQueries
from routeret.training.training_set import TrainingSet
from routeret.types import FloatArray, HashArray

_ANCHORS_PER_SET = 600


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """Queries of other domains, which an expert shall leave where they are.

    Attributes:
        sets: names of the data sets they come from.
        texts: the queries.
        vectors: float32, shape (n_queries, dim); the base's query embeddings.
    """

    sets: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: FloatArray

    def __len__(self) -> int:
        """How many queries."""
        return len(self.texts)

    @classmethod
    def read(cls, folders: Sequence[Path | str], encoder: Encoder, *, cache: Path | None = None) -> "Anchors":
        """Up to 600 train queries of every data set, dev queries where it has no train split.

        Args:
            folders: BEIR folders.
            encoder: the base.
            cache: a folder where vectors are kept between calls; None keeps none.

        Raises:
            CorpusError: a folder cannot be read, or has neither split.
            ArtifactError: a file of the cache is damaged.
        """
        names, texts = [], []
        for folder in folders:
            dataset = load_dataset(folder)
            split = next((split for split in ("train", "dev") if split in dataset.splits), None)
            if split is None:
                raise CorpusError(
                    f"{folder} has neither train nor dev queries; its test queries are not to be trained on"
                )
            asked = list(dataset.split(split)[0].values())
            chosen = np.random.default_rng(0).permutation(len(asked))[:_ANCHORS_PER_SET]
            names.append(Path(folder).resolve().name)
            texts += [asked[number] for number in np.sort(chosen)]
        arrays = cached(
            cache if texts else None,
            ["queries", encoder.query_tower, *texts],
            make=lambda: {"vectors": encoder.encode_queries(texts)},
        )
        return cls(tuple(names), tuple(texts), arrays["vectors"])


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Data sets by what their queries are used for, and anchors.

    Attributes:
        encoder: the base.
        sets: the data sets in its space.
        divisions: the train and dev queries of each.
        anchors: queries of other domains; may be none.
    """

    encoder: Encoder
    sets: tuple[EmbeddedSet, ...]
    divisions: tuple[Division, ...]
    anchors: Anchors

    @classmethod
    def read(
        cls,
        data: Sequence[Path | str],
        *,
        anchors: Sequence[Path | str],
        encoder: Encoder,
        cache: Path | None,
        show_progress: bool,
    ) -> "Material":
        """Read and embed data sets.

        Args:
            data: BEIR folders with a train split.
            anchors: BEIR folders of other domains.
            encoder: the base.
            cache: a folder where vectors are kept between calls; None keeps none.
            show_progress: draw progress bars on stderr.

        Raises:
            CorpusError: a folder cannot be read, or lacks a split that is needed.
        """
        sets = tuple(
            embed_dataset(load_dataset(one), encoder, cache=cache, show_progress=show_progress) for one in data
        )
        return cls(encoder, sets, tuple(divide(one) for one in sets), Anchors.read(anchors, encoder, cache=cache))

    @property
    def training(self) -> list[TrainingSet]:
        """What an expert is fitted to."""
        return [one.training_set(division.train) for one, division in zip(self.sets, self.divisions, strict=True)]

    @property
    def dev(self) -> list[JudgedQueries]:
        """What it is measured on."""
        return [one.judged(division.dev) for one, division in zip(self.sets, self.divisions, strict=True)]

    @property
    def known_documents(self) -> HashArray:
        """Content keys of all documents."""
        return np.concatenate([one.content_keys for one in self.sets])

    @property
    def sketch(self) -> TrainingSketch:
        """Of all documents and of the queries that an expert is fitted to."""
        return sketch_of(self.sets, self.divisions)

    @property
    def digests(self) -> dict[str, object]:
        """What the outcome of a training depends on, as JSON values: files by checksum, anchors by their texts."""
        digest = hashlib.sha256()
        for text in self.anchors.texts:
            digest.update(text.encode() + b"\0")
        return {
            "base": self.encoder.query_tower,
            "data": {one.name: dict(one.checksums) for one in self.sets},
            "anchors": digest.hexdigest(),
        }


def sketch_of(sets: Sequence[EmbeddedSet], divisions: Sequence[Division]) -> TrainingSketch:
    """The sketch of all documents of data sets and of the queries that an expert is fitted to.

    Args:
        sets: as the base embeds them, at least one.
        divisions: of each, in their order.
    """
    return TrainingSketch.of(
        sets[0].space,
        documents=[one.documents for one in sets],
        queries=[one.train.vectors for one in divisions],
    )
