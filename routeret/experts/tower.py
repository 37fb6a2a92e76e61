"""An encoder with a document space of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from routeret.artifact import naming_damage
from routeret.encoders import HashingEncoder, TorchEncoder, named_encoder
from routeret.errors import InputError, SpaceMismatchError
from routeret.experts.folder import read_known, write_expert
from routeret.experts.names import require_expert_name
from routeret.experts.sketch import TrainingSketch, short_keys
from routeret.index.structures.best import exact_scores
from routeret.index.tokens import TokenStorage, require_token_storage
from routeret.late_interaction import PooledTargets, TokenTargets, soft_late_interaction
from routeret.space import NO_TOKEN_LIMIT, Space
from routeret.types import FloatArray, HashArray

Targets = Literal["pooled", "tokens"]
"""One vector of every document, or one of each of its tokens."""

SPACE_FUSION = "space_fusion"
"""Where the details of an expert say how its scores and the base's became comparable when it was measured."""

_MODEL = "model"
_DOCUMENTS = "documents.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class TowerQueries:
    """Some queries in a tower's space.

    Attributes:
        vectors: float32, shape (n_queries, dim); they find the candidates.
        tokens: of every query float32, shape (n_tokens, dim); None where the vectors alone score.
        temperature: of the interaction.
        targets: which vectors of the documents the tokens are compared with.
    """

    vectors: FloatArray
    tokens: tuple[FloatArray, ...] | None = None
    temperature: float = 0.0
    targets: Targets = "pooled"

    @classmethod
    def of_tokens(
        cls, tokens: Sequence[FloatArray], *, space: Space, temperature: float, targets: Targets = "pooled"
    ) -> "TowerQueries":
        """The queries of token vectors, each float32, shape (n_tokens, dim); their mean finds the candidates."""
        vectors = np.zeros((len(tokens), space.dim), dtype=np.float32)
        for row, one in enumerate(tokens):
            vectors[row] = one.mean(axis=0)
        if space.unit_length:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return cls(vectors, tuple(tokens), temperature, targets)

    def scores(self, query: int, documents: FloatArray | TokenTargets) -> FloatArray:
        """Scores of documents, float32, shape (n_documents,), for the query of a number.

        Args:
            query: its number.
            documents: what :attr:`targets` says: their vectors, float32, shape (n_documents, dim), or their tokens.

        Raises:
            InputError: tokens came for queries that compare one vector.
        """
        if self.tokens is None:
            if isinstance(documents, TokenTargets):
                raise InputError(
                    f"{len(documents)} documents came as token vectors, the query is one vector; give one vector a "
                    f"document"
                )
            # As search structures score, so that a score does not depend on how its document came.
            return exact_scores(documents, self.vectors[query])
        targets = documents if isinstance(documents, TokenTargets) else PooledTargets.of(documents)
        scores: FloatArray = soft_late_interaction([self.tokens[query]], targets, temperature=self.temperature)[0]
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class TowerExpert:
    """An encoder whose documents have vectors of their own, beside the base's.

    It ranks documents in its own space. What it counts beside the base, its share, is its weight times its strength;
    at strength 1 and weight 1 the base has no say.

    Attributes:
        name: unique in a pool; of a-z, 0-9, ``_`` and ``-``.
        encoder: writes documents and queries into the space.
        strength: the share that did best on dev queries, above 0, at most 1.
        known_documents: content keys of the documents it was trained or measured over, uint64; kept as short keys, see
            :func:`routeret.experts.sketch.short_keys`.
        model: name or path of the model where the expert only refers to it; None where its files are saved with it.
        details: anything worth knowing about its training, as JSON values.
        interaction: temperature of the soft late interaction between the tokens of a query and the documents' vectors
            (see :func:`routeret.late_interaction.soft_late_interaction`); None compares the query's one vector.
        token_storage: precision in which the documents' token vectors are kept, for the tokens of a query to be
            compared with them; None compares them with the documents' pooled vectors.
        sketch: of the documents and queries it was trained or measured over, as the base embeds them, by which
            documents that are nearly equal are known too; None where nobody made one.
    """

    kind: ClassVar[str] = "tower"

    name: str
    encoder: TorchEncoder | HashingEncoder
    strength: float = 1.0
    known_documents: HashArray = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    model: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    interaction: float | None = None
    token_storage: TokenStorage | None = None
    sketch: TrainingSketch | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be used.

        Raises:
            InputError: a bad name, a strength outside 0 to 1, an encoder without files that is not named, or late
                interaction that the encoder cannot do or that has no temperature.
        """
        if self.model is None and not isinstance(self.encoder, TorchEncoder):
            raise InputError(f"expert {self.name!r} has an encoder without files; give the name of its model")
        require_expert_name(self.name)
        if not 0 < self.strength <= 1:
            raise InputError(f"expert {self.name!r} has strength {self.strength}, expected above 0 and at most 1")
        has_tokens = isinstance(self.encoder, TorchEncoder) and self.encoder.has_token_vectors
        if self.interaction is not None and not (self.interaction >= 0 and has_tokens):
            raise InputError(
                f"expert {self.name!r} has interaction {self.interaction} and a {type(self.encoder).__name__}; "
                f"expected a temperature of at least 0, and a model whose token vectors mean its pooled one"
            )
        if self.token_storage is not None:
            require_token_storage(self.token_storage)
            if self.interaction is None:
                raise InputError(
                    f"expert {self.name!r} keeps documents' tokens as {self.token_storage} without interaction; give a "
                    f"temperature of at least 0, or keep no tokens"
                )
        object.__setattr__(self, "known_documents", short_keys(self.known_documents))

    @property
    def space(self) -> Space:
        """The space of its documents and queries."""
        return self.encoder.space

    @property
    def query_tower(self) -> str:
        """Its own query tower."""
        return self.encoder.query_tower

    @property
    def targets(self) -> Targets:
        """Which vectors of the documents a query is compared with, once candidates are found by pooled ones."""
        return "pooled" if self.token_storage is None else "tokens"

    def encode_queries(self, texts: Sequence[str]) -> TowerQueries:
        """The queries in its space, by one pass of the encoder."""
        if self.interaction is None or not isinstance(self.encoder, TorchEncoder):
            return TowerQueries(self.encoder.encode_queries(texts))
        tokens = self.encoder.encode_query_tokens(texts)
        return TowerQueries.of_tokens(tokens, space=self.space, temperature=self.interaction, targets=self.targets)

    def on(self, device: str | None) -> "TowerExpert":
        """The same expert with its encoder on a device; None lets the encoder choose."""
        if not isinstance(self.encoder, TorchEncoder) or self.encoder.device == device:
            return self
        return replace(self, encoder=self.encoder.on(device))

    def save(self, folder: Path | str, *, beside: Callable[[Path], None] | None = None) -> None:
        """Write a new folder, whole or not at all; with the model's files unless the expert only refers to them.

        Args:
            folder: must not exist.
            beside: writes more files into the folder that it is given, for example the expert's pilots; the manifest
                covers them.

        Raises:
            ArtifactError: something is at ``folder`` already.
            InputError: ``details`` are not JSON values.
        """
        fields = {
            "model": self.model,
            "query_prompt": self.encoder.query_prompt,
            "domain": self.encoder.domain if isinstance(self.encoder, TorchEncoder) else None,
            "interaction": self.interaction,
            "token_storage": self.token_storage,
        }
        write_expert(
            Path(folder),
            self,
            fields=fields,
            files=self._write_files,
            beside=beside,
        )

    def _write_files(self, folder: Path) -> None:
        if self.model is None and isinstance(self.encoder, TorchEncoder):
            self.encoder.copy_model(folder / _MODEL)

    @classmethod
    def from_folder(cls, folder: Path, manifest: Mapping[str, Any]) -> "TowerExpert":
        """The expert of a folder whose manifest has been read; :func:`load_expert` is the way in.

        Raises:
            ArtifactError: the folder is damaged.
            ModelNotFoundError: the model that it refers to is nowhere on this machine.
            SpaceMismatchError: that model has changed.
        """
        with naming_damage(folder):
            space = Space.from_dict(manifest["space"])
            known, sketch = read_known(folder, manifest, before=_DOCUMENTS)
            model, name, query_tower = manifest["model"], manifest["name"], manifest["query_tower"]
            query_prompt, domain = manifest["query_prompt"], manifest["domain"]
            strength, details = float(manifest["strength"]), manifest["details"]
            interaction = manifest["interaction"]
            # Folders from before tokens were kept do not name it.
            token_storage = manifest.get("token_storage")
        encoder = named_encoder(
            model or folder / _MODEL,
            max_tokens=None if space.max_tokens == NO_TOKEN_LIMIT else space.max_tokens,
            query_prompt=query_prompt,
            document_prompt=space.document_prompt,
            domain=domain,
        )
        if encoder.space != space or encoder.query_tower != query_tower:
            raise SpaceMismatchError(
                f"expert {name!r} was made with a model of space {space.fingerprint}, {model or folder} gives "
                f"{encoder.space.fingerprint}: the model has changed; restore it, or remove the expert and add it anew"
            )
        return cls(name, encoder, strength, known, model, details, interaction, token_storage, sketch)
