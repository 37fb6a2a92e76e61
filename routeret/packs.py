"""Packs: a base model's experts for several domains with the router that weighs them, in one folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routeret.artifact import MANIFEST, read_manifest
from routeret.errors import ArtifactError, InputError
from routeret.space import Space

DEFAULT_PACK = "minilm-domains"
"""The pack where neither a pack nor a base is named."""

KIND = "pack"
FORMAT = 1

_SHIPPED = Path(__file__).parent / "packs_data"
_EXPERTS = "experts"
_ROUTER = "router"


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack on this machine.

    Attributes:
        name: the name in its manifest.
        folder: where it stands.
        manifest: everything that is known about it: base, licences, what it was trained on and with, scores.
    """

    name: str
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def base(self) -> str:
        """Name of the base model."""
        return str(self.manifest["base"])

    @property
    def space(self) -> Space:
        """The base's document space."""
        return Space.from_dict(self.manifest["space"])

    @property
    def query_tower(self) -> str:
        """The base's query tower, which experts and router were made for."""
        return str(self.manifest["query_tower"])

    @property
    def lexical_weight(self) -> float:
        """The one weight of the lexical score that did best on the dev queries of all training sets."""
        return float(self.manifest["lexical_weight"])

    @property
    def expert_folders(self) -> Mapping[str, Path]:
        """Folder by expert."""
        names = sorted(path.name for path in (self.folder / _EXPERTS).iterdir() if (path / MANIFEST).is_file())
        return {name: self.folder / _EXPERTS / name for name in names}

    @property
    def router_folder(self) -> Path:
        """The router's folder."""
        return self.folder / _ROUTER


def list_packs() -> dict[str, Path]:
    """The packs that ship with this library: folder by name."""
    if not _SHIPPED.is_dir():
        return {}
    return {path.name: path for path in sorted(_SHIPPED.iterdir()) if (path / MANIFEST).is_file()}


def read_pack(name_or_path: str | Path) -> Pack:
    """The pack of a name, or of a folder; every file is compared with its checksum.

    Args:
        name_or_path: one of :func:`list_packs`, or the folder of a pack.

    Raises:
        InputError: neither a known name nor a folder; the names are listed.
        ArtifactError: the folder is not a pack, or is damaged or of another format.
    """
    shipped = list_packs()
    folder = shipped.get(str(name_or_path), Path(name_or_path))
    if not folder.is_dir():
        raise InputError(
            f"{str(name_or_path)!r} is neither a pack nor a folder; there are the packs {', '.join(shipped) or 'none'}"
        )
    manifest = read_manifest(folder, kind=KIND, format_number=FORMAT)
    wanted = ("name", "base", "space", "query_tower", "lexical_weight")
    missing = [field for field in wanted if field not in manifest]
    if missing:
        raise ArtifactError(f"{folder / MANIFEST} has no {missing[0]!r}; build the pack again: routeret pack build")
    return Pack(name=str(manifest["name"]), folder=folder, manifest=manifest)
