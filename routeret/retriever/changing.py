"""Changing the pool of a retriever on disk: an expert more or less, a router fitted anew, documents untouched."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from routeret.errors import InputError, UnknownExpertError
from routeret.experts import TowerExpert
from routeret.experts.names import require_expert_name
from routeret.index import Index
from routeret.index.lock import writer_lock
from routeret.protocols import Expert
from routeret.retriever.folder import (
    Contents,
    ExpertEntry,
    free_expert_folder,
    free_map_folder,
    free_router_folder,
    remove_leftovers,
)
from routeret.retriever.learned_map import OWN_MAP, LearnedMap
from routeret.retriever.own_spaces import require_embedded, require_fusion, require_own_space
from routeret.retriever.pool import require_query_tower
from routeret.routing import PilotLibrary, RouterSettings, UtilityRouter, load_pilots


def read_pilots(source: Path, expert: Expert | TowerExpert) -> PilotLibrary:
    """The pilots in an expert's folder.

    Raises:
        InputError: there are none.
        ArtifactError: they are damaged.
    """
    folder = source / "pilots"
    if not folder.is_dir():
        command = "train tower or routeret train moe" if isinstance(expert, TowerExpert) else "train expert"
        raise InputError(
            f"expert {expert.name!r} has no pilots in {source}, so no router can tell when it helps; train it with: "
            f"routeret {command}, which writes them"
        )
    return load_pilots(folder)


def require_place(folder: Path, contents: Contents, expert: Expert | TowerExpert, pilots: PilotLibrary) -> None:
    """Do nothing if an expert may join a retriever: name, base and pilots fit. Nothing is embedded to tell.

    Args:
        folder: the retriever's.
        contents: what its manifest says.
        expert: the new one.
        pilots: queries with its gains on them.

    Raises:
        SpaceMismatchError: an adapter writes into another space, or was trained on another query tower; or an expert
            with a space of its own has the base's.
        InputError: the name is taken or cannot name a folder, or the pilots were made with another base; or an expert
            with a space of its own was measured with another fusion of spaces.
    """
    named = f"expert {expert.name!r}"
    require_free_name(folder, contents, expert.name)
    library_of(folder, contents).joined(pilots)
    if isinstance(expert, TowerExpert):
        require_fusion(expert, contents.space_fusion, here=f"index {folder.name!r}")
        with Index.open(folder) as index:
            require_own_space(index, expert.space, of=named)
        return
    contents.space.require_same(expert.space, here=f"index {folder.name!r}", there=named)
    require_query_tower(contents.query_tower, expert.query_tower, of=named)


def install(
    folder: Path, expert: Expert | TowerExpert, pilots: PilotLibrary, *, write: Callable[[Path], None]
) -> Contents:
    """Put an expert into the pool of a retriever and fit the router with its pilots.

    The documents already have their vectors in the space of an expert that brings one.

    Args:
        folder: the retriever's.
        expert: the new expert.
        pilots: queries with its gains on them.
        write: writes the expert as a new folder.

    Returns:
        What the folder holds now; if anything goes wrong it holds what it held before.

    Raises:
        SpaceMismatchError: an adapter writes into another space, or was trained on another query tower.
        InputError: its name is taken or cannot name a folder, or it was measured with another fusion of spaces.
        ArtifactError: documents lack a vector in the expert's own space.
        IndexLockedError: another process is writing.
    """
    with writer_lock(folder):
        contents = Contents.read(folder)
        require_place(folder, contents, expert, pilots)
        if isinstance(expert, TowerExpert):
            with Index.open(folder) as index:
                require_embedded(index, expert.space, of=f"expert {expert.name!r}")
        remove_leftovers(folder, contents)
        library = library_of(folder, contents)
        entry = ExpertEntry(
            name=expert.name,
            folder=free_expert_folder(folder, expert.name),
            pilots=_brought(contents, library, pilots),
            space=expert.space.fingerprint if isinstance(expert, TowerExpert) else None,
            tokens=expert.token_storage if isinstance(expert, TowerExpert) else None,
        )
        router = _fit(folder, contents, library.joined(pilots), [*contents.expert_names, expert.name])
        write(folder / entry.folder)
        changed = contents.with_expert(entry, router=router)
        changed.write(folder)
    return changed


def remove_expert(folder: Path, name: str) -> Contents:
    """Take an expert out of the pool of a retriever, with the pilots that came with it, and fit the router anew.

    Args:
        folder: the retriever's.
        name: the expert's.

    Returns:
        What the folder holds now; if anything goes wrong it holds what it held before.

    Raises:
        UnknownExpertError: there is no such expert.
        IndexLockedError: another process is writing.
    """
    with writer_lock(folder):
        contents = Contents.read(folder)
        if name not in contents.expert_names:
            raise UnknownExpertError(
                f"unknown expert {name!r}; index {folder.name!r} has {', '.join(contents.expert_names) or 'none'}"
            )
        remove_leftovers(folder, contents)
        names = [other for other in contents.expert_names if other != name]
        router = _fit(folder, contents, _library_without(folder, contents, name), names) if names else None
        changed = contents.without_expert(name, router=router)
        changed.write(folder)
    return changed


def install_map(folder: Path, learned: LearnedMap) -> Contents:
    """Put a learned map in place of the one that a retriever's index has.

    Args:
        folder: the retriever's.
        learned: the map.

    Returns:
        What the folder holds now; if anything goes wrong it holds what it held before.

    Raises:
        IndexLockedError: another process is writing.
    """
    with writer_lock(folder):
        contents = Contents.read(folder)
        remove_leftovers(folder, contents)
        place = free_map_folder(folder)
        learned.save(folder / place)
        changed = replace(contents, index_map=place)
        changed.write(folder)
    return changed


def remove_map(folder: Path) -> Contents:
    """Take the learned map of a retriever's index away, so that the index computes one of its documents again.

    Raises:
        UnknownExpertError: there is none.
        IndexLockedError: another process is writing.
    """
    with writer_lock(folder):
        contents = Contents.read(folder)
        if contents.index_map is None:
            raise UnknownExpertError(
                f"index {folder.name!r} has no {OWN_MAP}; tuning without labels makes it: routeret tune {folder}"
            )
        remove_leftovers(folder, contents)
        changed = replace(contents, index_map=None)
        changed.write(folder)
    return changed


def require_free_name(folder: Path, contents: Contents, name: str) -> None:
    """Do nothing if a new expert of a retriever may have this name.

    Raises:
        InputError: it is taken, or no name for an expert.
    """
    require_expert_name(name)
    if name == OWN_MAP:
        raise InputError(f"{OWN_MAP!r} is what the map of an index is called; choose another name for an expert")
    if name in contents.expert_names:
        raise InputError(
            f"index {folder.name!r} has an expert {name!r} already; choose another name, or remove it first: "
            f"routeret experts remove {folder} {name}"
        )


def library_of(folder: Path, contents: Contents) -> PilotLibrary:
    """The pilots that the router of a retriever was fitted on; none where there is no router."""
    if contents.router is None:
        return PilotLibrary(query_tower=contents.query_tower, corpora=())
    return UtilityRouter.load(folder / contents.router).library


def _fit(folder: Path, contents: Contents, library: PilotLibrary, names: list[str]) -> str:
    """Fit a router with the settings of the present one and write it beside it; gives its folder."""
    if contents.router is None:
        settings = RouterSettings(lexical_weight=contents.lexical_weight)
    else:
        settings = UtilityRouter.load(folder / contents.router).settings
    router = free_router_folder(folder)
    UtilityRouter.fit(library, names, settings=settings).save(folder / router)
    return router


def _library_without(folder: Path, contents: Contents, name: str) -> PilotLibrary:
    """The pilots without an expert and without the corpora that came with it alone."""
    library = library_of(folder, contents)
    (entry,) = (entry for entry in contents.experts if entry.name == name)
    shared = {corpus for other in contents.experts if other.name != name for corpus in other.pilots}
    return library.without_expert(name).without_corpora([corpus for corpus in entry.pilots if corpus not in shared])


def _brought(contents: Contents, library: PilotLibrary, pilots: PilotLibrary) -> tuple[str, ...]:
    """The corpora among an expert's pilots that would not be there if no expert had been added."""
    added = {corpus for entry in contents.experts for corpus in entry.pilots}
    own = {corpus.name for corpus in library.corpora} - added
    return tuple(corpus.name for corpus in pilots.corpora if corpus.name not in own)
