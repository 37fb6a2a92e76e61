"""The spaces that experts with documents of their own bring into a retriever's index; several may share one."""

from collections.abc import Iterable

from routeret.errors import ArtifactError, InputError, SpaceMismatchError
from routeret.experts import TowerExpert
from routeret.experts.tower import SPACE_FUSION
from routeret.fusion import SpaceFusion, require_space_fusion
from routeret.index import Index
from routeret.index.reading import Reader
from routeret.retriever.folder import Contents
from routeret.space import Space


def require_embedded(index: Reader, space: Space, *, of: str) -> None:
    """Do nothing if every row of an index has a vector in a space.

    Args:
        index: as it is now.
        space: an expert's.
        of: words for the expert.

    Raises:
        ArtifactError: rows lack one, since documents came while they were embedded for the expert.
    """
    held = index.info()["spaces"].get(space.fingerprint)
    if held is None or held["rows"] < index.n_rows:
        raise ArtifactError(
            f"index {index.folder.name!r} has {index.n_rows} rows, {0 if held is None else held['rows']} of them in "
            f"the space of {of}: documents came meanwhile; add the expert again, what is embedded is kept"
        )


def require_own_space(index: Reader, space: Space, *, of: str) -> None:
    """Do nothing if an expert's space is another one than an index was created with.

    Args:
        index: the retriever's.
        space: the expert's.
        of: words for the expert.

    Raises:
        SpaceMismatchError: it is the same, so the expert is the base itself.
    """
    if space == index.space:
        raise SpaceMismatchError(
            f"{of} embeds documents as the base of index {index.folder.name!r} does (space {space.fingerprint}), so "
            f"it adds nothing; choose another model, or other prompts"
        )


def fusion_of(expert: TowerExpert) -> SpaceFusion:
    """How spaces were fused when an expert's strength and its pilots were measured: by scores where nothing is said.

    Raises:
        InputError: its details name no such way.
    """
    return require_space_fusion(str(expert.details.get(SPACE_FUSION, "scores")))


def common_fusion(experts: Iterable[TowerExpert]) -> SpaceFusion:
    """The one way to fuse spaces that all experts were measured with; by scores where there are none.

    Raises:
        InputError: two of them were measured with different ones.
    """
    fusion_by_name = {expert.name: fusion_of(expert) for expert in experts}
    if len(set(fusion_by_name.values())) > 1:
        found = ", ".join(f"{name!r} with {fusion!r}" for name, fusion in fusion_by_name.items())
        raise InputError(
            f"the experts of a pack were measured with different fusions of spaces: {found}; train all of them with "
            f"one space_fusion"
        )
    return next(iter(fusion_by_name.values()), "scores")


def require_fusion(expert: TowerExpert, fusion: SpaceFusion, *, here: str) -> None:
    """Do nothing if an expert was measured with the fusion by which it will be searched.

    Args:
        expert: brings a space.
        fusion: of the retriever.
        here: words for the retriever.

    Raises:
        InputError: it was measured with another one, so its strength and its pilots are those of another ranking.
    """
    found = fusion_of(expert)
    if found != fusion:
        raise InputError(
            f"expert {expert.name!r} was measured with space fusion {found!r}, {here} fuses spaces by {fusion!r}; "
            f"train the expert with space_fusion {fusion!r}, or make an index with --space-fusion {found}"
        )


def drop_unnamed_spaces(index: Index, contents: Contents, *, keep: TowerExpert | None = None) -> None:
    """Forget the spaces and the tokens that no expert of a retriever needs.

    They were left behind by an expert that was never installed, or is gone.

    Args:
        index: open for writing.
        contents: what the retriever's manifest says.
        keep: an expert whose space and tokens stay though no expert needs them yet.
    """
    held = index.info()["spaces"]
    for space in index.spaces[1:]:
        coming = keep if keep is not None and space == keep.space else None
        if coming is None and space.fingerprint not in contents.own_spaces:
            index.drop_space(space)
            continue
        tokens = held[space.fingerprint].get("tokens")
        if tokens is None or contents.compares_tokens(space.fingerprint, tokens["storage"]):
            continue
        if coming is None or tokens["storage"] != coming.token_storage:
            index.drop_tokens(space)
