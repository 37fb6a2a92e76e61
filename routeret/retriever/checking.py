"""Whether a retriever on disk is as it was written: its index, its manifest, its experts and its router."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routeret.artifact import MANIFEST, differing_files
from routeret.errors import ArtifactError
from routeret.index import Damage, Index
from routeret.index.repairing import repair_index
from routeret.index.schema import STORE
from routeret.index.verifying import verify_index
from routeret.retriever.folder import Contents
from routeret.retriever.kept_map import FILE, damage_of, remove_map


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What is damaged in a retriever's folder.

    Attributes:
        index: the folder.
        damage: everything that is not as it was written.
        repaired: what was damaged and is not any more.
    """

    index: str
    damage: tuple[Damage, ...]
    repaired: tuple[Damage, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damage

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "index": self.index,
            "is_whole": self.is_whole,
            "damage": [one.as_dict() for one in self.damage],
            "repaired": [one.as_dict() for one in self.repaired],
        }


def check_folder(path: Path | str, *, repair: bool = False) -> CheckReport:
    """Read every file of a retriever once and compare what is in it with what was written.

    Args:
        path: the retriever's folder.
        repair: first remove what is damaged and can be made again; see
            :func:`routeret.index.repairing.repair_index`.

    Raises:
        ArtifactError: there is no retriever, or a folder to repair cannot be written.
        IndexLockedError: another process is writing to a folder to repair.
    """
    folder = Path(path)
    if not (folder / MANIFEST).is_file() and not (folder / STORE).is_file():
        raise ArtifactError(f"{folder} holds neither {MANIFEST} nor {STORE}; give the folder of an index")
    repaired = [*repair_index(folder), *_repaired_map(folder)] if repair else []
    damage = [*_damaged_files(folder), *verify_index(folder), *_damaged_map(folder)]
    return CheckReport(str(folder), damage=tuple(damage), repaired=tuple(repaired))


def _damaged_map(folder: Path) -> list[Damage]:
    problem = damage_of(folder)
    return [] if problem is None else [Damage(str(folder / FILE), problem, derived=True)]


def _repaired_map(folder: Path) -> list[Damage]:
    damage = _damaged_map(folder)
    if damage:
        remove_map(folder)
    return damage


def _damaged_files(folder: Path) -> list[Damage]:
    """What is wrong with the manifest of a retriever and with what it covers."""
    found = list(_damaged_below(folder))
    if not found:
        try:
            found.extend(_missing_spaces(folder, Contents.read(folder)))
        except ArtifactError as error:
            found.append(Damage(str(folder / MANIFEST), str(error), derived=False))
    return found


def _missing_spaces(folder: Path, contents: Contents) -> Iterator[Damage]:
    """The experts whose own space does not hold all the documents; an index that is damaged tells so itself."""
    if not contents.own_spaces:
        return
    try:
        with Index.open(folder) as index:
            held, n_rows = index.info()["spaces"], index.n_rows
    except ArtifactError:
        return
    for entry in contents.experts:
        n_held = held.get(entry.space, {"rows": 0})["rows"]
        if entry.space is not None and n_held < n_rows:
            problem = (
                f"expert {entry.name!r} needs {n_rows} rows in space {entry.space}, {n_held} are there; remove it and "
                f"add it again: routeret experts remove {folder} {entry.name}"
            )
            yield Damage(str(folder / entry.folder), problem, derived=False)


def _damaged_below(folder: Path) -> Iterator[Damage]:
    """The damaged ones among the files that a folder's manifest covers, and that manifests among them cover."""
    next_step = "restore it from a copy"
    manifest = folder / MANIFEST
    try:
        files = dict(json.loads(manifest.read_text(encoding="utf-8"))["files"])
    except FileNotFoundError:
        yield Damage(str(manifest), f"{manifest} is missing; {next_step}", derived=False)
        return
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{manifest} is damaged ({type(error).__name__}: {error}); {next_step}"
        yield Damage(str(manifest), problem, derived=False)
        return
    differing = dict(differing_files(folder, files))
    for file in (folder / name for name in sorted(files)):
        if file in differing:
            problem = "missing" if differing[file] is None else "damaged: its checksum differs"
            yield Damage(str(file), f"{file} is {problem}; {next_step}", derived=False)
        elif file.name == MANIFEST:
            yield from _damaged_below(file.parent)
