"""The router of an index or of a pack, read without a model."""

from pathlib import Path

from routeret.artifact import kind_of
from routeret.errors import InputError
from routeret.packs import KIND as PACK
from routeret.packs import list_packs, read_pack
from routeret.retriever.folder import Contents
from routeret.routing import UtilityRouter


def find_router(index_or_pack: Path | str) -> UtilityRouter:
    """The router of an index or of a pack.

    Args:
        index_or_pack: the folder of an index or of a pack, or the name of a pack that ships with this library.

    Raises:
        InputError: it is neither, or an index without experts.
        ArtifactError: it is damaged.
    """
    folder = Path(index_or_pack)
    if str(index_or_pack) in list_packs() or not folder.is_dir() or kind_of(folder) == PACK:
        return UtilityRouter.load(read_pack(index_or_pack).router_folder)
    contents = Contents.read(folder)
    if contents.router is None:
        raise InputError(
            f"index {folder} has no experts, so it has no router; add one with routeret experts add {folder} EXPERT, "
            f"or fit one with routeret tune {folder} --queries labelled.jsonl"
        )
    return UtilityRouter.load(folder / contents.router)
