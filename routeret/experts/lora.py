"""A low-rank adapter in the base's query tower."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from routeret.artifact import naming_damage, safetensors_of, write_file, write_json
from routeret.encoders.adapted import AdaptedQueries
from routeret.encoders.adapter import Adapter
from routeret.encoders.safetensors_file import map_arrays
from routeret.encoders.torch import TorchEncoder
from routeret.errors import InputError, SpaceMismatchError
from routeret.experts.folder import read_known, write_expert
from routeret.experts.names import require_expert_name
from routeret.experts.sketch import TrainingSketch, short_keys
from routeret.experts.strength import applied, checked_base, require_strength
from routeret.protocols import Encoder
from routeret.space import Space
from routeret.types import FloatArray, HashArray, QueryBatch

if TYPE_CHECKING:
    from routeret.encoders.graph.query_graph import QueryGraph

_ADAPTER = "adapter"
_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_DOCUMENTS = "documents.safetensors"
_PREFIX = "base_model.model."
"""What peft puts before the names of layers in its files."""


@dataclass(frozen=True, slots=True, eq=False)
class LoraExpert:
    """Writes a query as the base with a low-rank adapter does (LoRA, 2106.09685), at some strength.

    With q the base's vector and q' that of the adapted base, it writes q + s (q' - q), brought to the length that the
    space wants; s is the strength. One pass of the adapted base gives the query at any strength. It lives in the base's
    own document space, so adding one embeds no document again.

    It answers once it is attached to the base, whose weights it shares.

    Attributes:
        name: unique in a pool; of a-z, 0-9, ``_`` and ``-``.
        adapter: what is added to the base's layers.
        strength: the strength that did best on its dev queries, above 0.
        space: the document space its queries are written into.
        query_tower: the base query tower it was trained in.
        known_documents: content keys of the documents it was trained over, uint64; kept as short keys, see
            :func:`routeret.experts.sketch.short_keys`.
        details: anything worth knowing about its training, as JSON values.
        tower: the base with the adapter; None until it is attached.
        sketch: of the documents and queries it was trained over, by which documents that are nearly equal are known
            too; None where nobody made one.
    """

    kind: ClassVar[str] = "lora"

    name: str
    adapter: Adapter
    strength: float
    space: Space
    query_tower: str
    known_documents: HashArray
    details: Mapping[str, Any] = field(default_factory=dict)
    tower: AdaptedQueries | None = None
    sketch: TrainingSketch | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be applied.

        Raises:
            InputError: a bad name, or a strength that is not above 0.
        """
        require_expert_name(self.name)
        require_strength(self.strength, expert=self.name)
        object.__setattr__(self, "known_documents", short_keys(self.known_documents))

    def attached(self, base: Encoder) -> "LoraExpert":
        """The same expert, ready to answer.

        Args:
            base: the encoder that it was trained in; nothing is loaded before the first query.

        Raises:
            InputError: the base is no model that an adapter fits into.
            SpaceMismatchError: it is another one.
        """
        if not isinstance(base, TorchEncoder):
            raise InputError(
                f"expert {self.name!r} is an adapter for the layers of a transformer, found a {type(base).__name__} as "
                f"the base; use the model that it was trained in"
            )
        base.space.require_same(self.space, here="the base", there=f"expert {self.name!r}")
        if base.query_tower != self.query_tower:
            raise SpaceMismatchError(
                f"the base has query tower {base.query_tower}, expert {self.name!r} was trained in {self.query_tower}: "
                f"the query prompt has changed; open the base as it was, or train the expert again in this one"
            )
        return replace(self, tower=AdaptedQueries(base, self.adapter))

    def encode_queries(self, queries: QueryBatch, *, strengths: FloatArray) -> FloatArray:
        """Query vectors in the expert's space.

        Args:
            queries: with base embeddings of shape (n_queries, dim).
            strengths: float32, shape (n_queries,); at least 0. A query at strength 0 keeps the base's vector to the
                last bit, and costs nothing.

        Returns:
            float32, shape (n_queries, dim); of length 1 where the space is.

        Raises:
            InputError: the shapes do not fit, a strength is below 0 or not finite, or no base was attached.
        """
        texts = self.passing(queries, strengths=strengths)
        return self.moved(queries, self._attached_tower.encode_queries(texts), strengths=strengths)

    def passing(self, queries: QueryBatch, *, strengths: FloatArray) -> list[str]:
        """The queries that a pass of the adapted base is needed for, in their order: those at a strength above 0.

        Raises:
            InputError: the shapes do not fit, a strength is below 0 or not finite, or no base was attached.
        """
        checked_base(queries, strengths=strengths, dim=self.space.dim, expert=self.name)
        _ = self._attached_tower
        return [queries.texts[query] for query in np.flatnonzero(strengths > 0)]

    def moved(self, queries: QueryBatch, adapted: FloatArray, *, strengths: FloatArray) -> FloatArray:
        """Query vectors, given what the adapted base writes.

        Args:
            queries: with base embeddings of shape (n_queries, dim).
            adapted: float32, shape (n_passing, dim); of the queries that :meth:`passing` gave.
            strengths: float32, shape (n_queries,).
        """
        base = np.asarray(queries.base, dtype=np.float32)
        acting = np.flatnonzero(strengths > 0)
        shift = np.zeros_like(base)
        shift[acting] = adapted - base[acting]
        return applied(base, shift, strengths=strengths, unit_length=self.space.unit_length)

    @property
    def graph(self) -> "QueryGraph | None":
        """What runs its queries, together with those of other adapters of the base; None where PyTorch does."""
        return None if self.tower is None else self.tower.graph

    @property
    def _attached_tower(self) -> AdaptedQueries:
        if self.tower is None:
            raise InputError(
                f"expert {self.name!r} has no base to run in; give it one: expert.attached(encoder), or "
                f"load_expert(folder, base=encoder)"
            )
        return self.tower

    def save(self, folder: Path | str, *, beside: Callable[[Path], None] | None = None) -> None:
        """Write a new folder, whole or not at all; ``adapter/`` in it is a folder that peft opens.

        Args:
            folder: must not exist.
            beside: writes more files into the folder that it is given, for example the expert's pilots; the manifest
                covers them.

        Raises:
            ArtifactError: something is at ``folder`` already.
            InputError: ``details`` are not JSON values.
        """
        write_expert(
            Path(folder),
            self,
            files=self._write_files,
            beside=beside,
        )

    def _write_files(self, folder: Path) -> None:
        adapter = self.adapter
        (folder / _ADAPTER).mkdir()
        config = {
            "peft_type": "LORA",
            "task_type": "FEATURE_EXTRACTION",
            "r": adapter.rank,
            "lora_alpha": adapter.alpha,
            "target_modules": list(adapter.targets),
            "inference_mode": True,
        }
        write_json(folder / _ADAPTER / _CONFIG, config)
        arrays = {f"{_PREFIX}{name}": matrix for name, matrix in adapter.weights.items()}
        write_file(folder / _ADAPTER / _WEIGHTS, safetensors_of(arrays, {"format": "pt"}))

    @classmethod
    def from_folder(cls, folder: Path, manifest: Mapping[str, Any]) -> "LoraExpert":
        """The expert of a folder whose manifest has been read; :func:`load_expert` is the way in.

        Raises:
            ArtifactError: a file is missing or damaged, or does not fit the others.
        """
        with naming_damage(folder):
            config = json.loads((folder / _ADAPTER / _CONFIG).read_text(encoding="utf-8"))
            # Once the adapter has become what its runtime takes, nothing else of it needs memory.
            arrays = map_arrays(folder / _ADAPTER / _WEIGHTS)
            adapter = Adapter(
                rank=config["r"],
                alpha=config["lora_alpha"],
                targets=tuple(config["target_modules"]),
                weights={name.removeprefix(_PREFIX): matrix for name, matrix in arrays.items()},
            )
            known, sketch = read_known(folder, manifest, before=_DOCUMENTS)
            return cls(
                name=manifest["name"],
                adapter=adapter,
                strength=float(manifest["strength"]),
                space=Space.from_dict(manifest["space"]),
                query_tower=manifest["query_tower"],
                known_documents=known,
                details=manifest["details"],
                sketch=sketch,
            )
