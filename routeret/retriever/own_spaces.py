"""The spaces that experts with documents of their own bring into a retriever's index; several may share one."""

from routeret.errors import ArtifactError, SpaceMismatchError
from routeret.experts import TowerExpert
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
