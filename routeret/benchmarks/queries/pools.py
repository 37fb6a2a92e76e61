"""Packs and indexes for the benchmark: the same documents, searched with other experts."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from routeret.artifact import new_folder, write_manifest
from routeret.encoders import TorchEncoder
from routeret.encoders.adapted import adaptable_layers, transformer_of
from routeret.encoders.adapter import Adapter
from routeret.errors import InputError
from routeret.experts import LinearExpert, LoraExpert, load_expert
from routeret.packs import FORMAT, KIND, Pack
from routeret.retriever.folder import (
    Contents,
    ExpertEntry,
    copy_folder,
    free_expert_folder,
    free_router_folder,
    remove_leftovers,
)
from routeret.routing import PilotLibrary, UtilityRouter
from routeret.types import FloatArray

RANK = 8
"""Rank of the adapters."""

N_MANY = 10
"""How many experts of each kind there are where memory is measured."""

_ALPHA = 2 * RANK
_SCALE = 0.02
"""Spread of B's numbers: the adapted vectors stay near the base's, as those of trained adapters do."""

Adaptable = LinearExpert | LoraExpert


@dataclass(frozen=True, slots=True)
class AdapterMaker:
    """Draws adapters that fit a model. Time does not depend on what the numbers are.

    Attributes:
        layers: name, n_inputs and n_outputs of all that an adapter changes.
    """

    layers: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, encoder: TorchEncoder) -> "AdapterMaker":
        """For the layers of attention and feed-forward of a model.

        Raises:
            InputError: it has none.
        """
        transformer = transformer_of(encoder.fresh_model())
        layers = ((name, transformer.get_submodule(name)) for name in adaptable_layers(transformer))
        return cls(tuple((name, int(one.in_features), int(one.out_features)) for name, one in layers))  # type: ignore[arg-type] # linear layers

    def draw(self, seed: int) -> Adapter:
        """An adapter of random numbers."""
        rng = np.random.default_rng(seed)
        weights: dict[str, FloatArray] = {}
        for name, n_in, n_out in self.layers:
            weights[f"{name}.lora_A.weight"] = (rng.normal(size=(RANK, n_in)) / np.sqrt(n_in)).astype(np.float32)
            weights[f"{name}.lora_B.weight"] = (_SCALE * rng.normal(size=(n_out, RANK))).astype(np.float32)
        return Adapter(rank=RANK, alpha=_ALPHA, targets=tuple(name for name, _, _ in self.layers), weights=weights)


def linear_experts(pack: Pack) -> dict[str, LinearExpert]:
    """The experts of a pack by name.

    Raises:
        InputError: there is none, or one is of another kind.
    """
    experts = {name: load_expert(folder) for name, folder in pack.expert_folders.items()}
    linear = {name: one for name, one in experts.items() if isinstance(one, LinearExpert)}
    if not experts or len(linear) < len(experts):
        others = ", ".join(sorted(set(experts) - set(linear))) or "none at all"
        raise InputError(f"pack {pack.name!r} has experts that are not linear: {others}; give one of linear experts")
    return linear


def write_lora_twin(folder: Path, pack: Pack, maker: AdapterMaker) -> None:
    """Write a pack like another, with an adapter in place of every expert: the router decides as there.

    Args:
        folder: must not exist.
        pack: of linear experts.
        maker: draws the adapters.
    """
    experts = [_as_lora(one, maker.draw(seed)) for seed, one in enumerate(linear_experts(pack).values())]
    with new_folder(folder) as temporary:
        _write_experts(temporary, experts)
        copy_folder(pack.router_folder, temporary / "router")
        _write_manifest(temporary, pack, name=folder.name)


def write_many(folder: Path, pack: Pack, maker: AdapterMaker) -> None:
    """Write a pack of :data:`N_MANY` linear experts and as many adapters, each with what an expert of a pack knows.

    Args:
        folder: must not exist.
        pack: of linear experts.
        maker: draws the adapters.
    """
    sources = list(linear_experts(pack).values())
    source_by_name: dict[str, str] = {}
    experts: list[Adaptable] = []
    for number in range(N_MANY):
        source = sources[number % len(sources)]
        linear = replace(source, name=f"linear-{number}")
        lora = replace(_as_lora(source, maker.draw(number)), name=f"lora-{number}")
        experts += [linear, lora]
        source_by_name |= {linear.name: source.name, lora.name: source.name}
    router = UtilityRouter.load(pack.router_folder)
    library = _renamed(router.library, source_by_name)
    with new_folder(folder) as temporary:
        _write_experts(temporary, experts)
        UtilityRouter.fit(library, list(source_by_name), settings=router.settings).save(temporary / "router")
        _write_manifest(temporary, pack, name=folder.name)


def copy_index(source: Path, target: Path, pack: Pack | None) -> None:
    """Copy an index with a pack's experts and router in place of its own; no document is embedded.

    Args:
        source: the index.
        target: must not exist.
        pack: None leaves the base alone.
    """
    shutil.copytree(source, target)
    entries: list[ExpertEntry] = []
    router = None
    contents = Contents.read(target)
    if pack is not None:
        for name, folder in pack.expert_folders.items():
            entries.append(ExpertEntry(name=name, folder=free_expert_folder(target, name)))
            copy_folder(folder, target / entries[-1].folder)
        router = free_router_folder(target)
        copy_folder(pack.router_folder, target / router)
    changed = replace(
        contents,
        pack=None if pack is None else pack.name,
        experts=tuple(entries),
        router=router,
        lexical_weight=contents.lexical_weight if pack is None else pack.lexical_weight,
        index_map=None,
    )
    changed.write(target)
    remove_leftovers(target, changed)


def _as_lora(expert: LinearExpert, adapter: Adapter) -> LoraExpert:
    return LoraExpert(
        name=expert.name,
        adapter=adapter,
        strength=expert.strength,
        space=expert.space,
        query_tower=expert.query_tower,
        known_documents=expert.known_documents,
        sketch=expert.sketch,
    )


def _renamed(library: PilotLibrary, source_by_name: Mapping[str, str]) -> PilotLibrary:
    """The pilots with the gains of the experts that others are copies of."""
    corpora = tuple(
        replace(
            corpus,
            gains={name: corpus.gains[source] for name, source in source_by_name.items() if source in corpus.gains},
            home_experts=tuple(_copies(corpus.home_experts, source_by_name)),
        )
        for corpus in library.corpora
    )
    return replace(library, corpora=corpora)


def _copies(names: Sequence[str], source_by_name: Mapping[str, str]) -> Iterable[str]:
    return (copy for name in names for copy, source in source_by_name.items() if source == name)


def _write_experts(folder: Path, experts: Sequence[Adaptable]) -> None:
    for expert in experts:
        expert.save(folder / "experts" / expert.name)


def _write_manifest(folder: Path, pack: Pack, *, name: str) -> None:
    fields = {
        "name": name,
        "base": pack.base,
        "space": pack.space.as_dict(),
        "query_tower": pack.query_tower,
        "lexical_weight": pack.lexical_weight,
    }
    write_manifest(folder, kind=KIND, format_number=FORMAT, fields=fields)
