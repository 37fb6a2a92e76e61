"""A new retriever on disk: an empty index, a pack's experts and router or a base alone, and the manifest."""

from dataclasses import replace
from pathlib import Path

from routeret.chunking import Chunker
from routeret.encoders.resolve import holds_model
from routeret.experts import TowerExpert, load_expert
from routeret.fusion import SpaceFusion, require_space_fusion
from routeret.index import Index
from routeret.index.row_format import Storage
from routeret.packs import DEFAULT_PACK, Pack, read_pack
from routeret.protocols import Encoder
from routeret.retriever.folder import Contents, ExpertEntry, copy_folder, free_router_folder, new_or_empty
from routeret.retriever.own_spaces import require_fusion
from routeret.retriever.pool import DEFAULT_LEXICAL_WEIGHT, require_query_tower


def create_folder(
    path: Path,
    *,
    base: Encoder,
    model: str | None,
    pack: Pack | None,
    chunker: Chunker | None = None,
    storage: Storage = "fp16",
    space_fusion: SpaceFusion = "scores",
) -> None:
    """Write a retriever without documents; all or nothing.

    Args:
        path: must not exist, or be an empty folder.
        base: the base encoder.
        model: how a later reader finds the base; None where it must be given then.
        pack: whose experts and router to copy.
        chunker: cuts documents into spans; by default a document is one span.
        storage: precision of the stored vectors.
        space_fusion: how the scores of several spaces become one.

    Raises:
        ArtifactError: something is at ``path`` already, or the pack is damaged.
        InputError: there is no such storage or fusion, or an expert of the pack was measured with another fusion.
        SpaceMismatchError: the pack was made for another base.
    """
    if pack is not None:
        pack.space.require_same(base.space, here=f"pack {pack.name!r}", there="the base")
        require_query_tower(base.query_tower, pack.query_tower, of=f"pack {pack.name!r}")
    require_space_fusion(space_fusion)
    with new_or_empty(path) as folder, Index.create(folder, base.space, chunker=chunker, storage=storage) as index:
        experts = []
        router = None
        if pack is not None:
            for name, source in pack.expert_folders.items():
                expert = load_expert(source)
                entry = ExpertEntry(name=name, folder=f"experts/{name}")
                if isinstance(expert, TowerExpert):
                    require_fusion(expert, space_fusion, here=f"index {path.name!r}")
                    index.add_space(expert.encoder, storage=storage, tokens=expert.token_storage)
                    entry = replace(entry, space=expert.space.fingerprint, tokens=expert.token_storage)
                copy_folder(source, folder / entry.folder)
                experts.append(entry)
            router = free_router_folder(folder)
            copy_folder(pack.router_folder, folder / router)
        Contents(
            model=model,
            space=base.space,
            query_tower=base.query_tower,
            pack=pack.name if pack else None,
            experts=tuple(experts),
            router=router,
            lexical_weight=pack.lexical_weight if pack else DEFAULT_LEXICAL_WEIGHT,
            space_fusion=space_fusion,
        ).write(folder)


def pack_and_base(
    pack: str | Path | None, base: str | Path | Encoder | None
) -> tuple[Pack | None, str | Path | Encoder]:
    """What a new retriever is made of: the pack and the base that were given, or the usual ones.

    Raises:
        InputError: there is no such pack.
        ArtifactError: the pack is damaged.
    """
    if pack is None and base is not None:
        return None, base
    chosen = read_pack(DEFAULT_PACK if pack is None else pack)
    return chosen, chosen.base if base is None else base


def model_name(base: str | Path | Encoder) -> str | None:
    """How a base can be found again: the path of a folder, the name of a model, None for an encoder."""
    if not isinstance(base, str | Path):
        return None
    folder = Path(base).expanduser()
    return str(folder.resolve()) if holds_model(folder) else str(base)
