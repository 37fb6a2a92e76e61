"""The recipe of a pack, read from a TOML file."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from routeret.errors import InputError
from routeret.experts.names import require_expert_name
from routeret.repeats import first_repeated
from routeret.training.expert import ExpertKind
from routeret.training.lora import LoraRecipe
from routeret.training.recipe_file import read_toml, recipe_of, require_fields

_FIELDS = ("name", "base", "data", "cache", "notice", "seed", "experts", "sources", "lora")


@dataclass(frozen=True, slots=True)
class ExpertRecipe:
    """One expert of a pack.

    Attributes:
        name: of the expert.
        sets: the data sets that it is trained on.
        kind: what it is; see :func:`~routeret.training.train_expert`.
        description: what it is for, in words; may be empty.
    """

    name: str
    sets: tuple[str, ...]
    kind: ExpertKind = "linear"
    description: str = ""


@dataclass(frozen=True, slots=True)
class PackRecipe:
    """How a pack is made.

    Attributes:
        name: of the pack.
        base: name or folder of the base model.
        experts: at least one, all with names of their own.
        data: the folder of the data sets.
        folder_by_set: where every data set of an expert lies.
        cache: folder for embeddings; None keeps none.
        notice: a file with licences that goes into the pack; None for none.
        sources: what a corpus was made from, by data set; the data set itself where it is not named.
        seed: of everything that is drawn.
        checksum: of all fields as they were written but ``cache``, 64 hexadecimal digits.
        lora: how experts of kind ``lora`` are fitted.
    """

    name: str
    base: str
    experts: tuple[ExpertRecipe, ...]
    data: Path
    folder_by_set: Mapping[str, Path]
    cache: Path | None
    notice: Path | None
    sources: Mapping[str, str]
    seed: int
    checksum: str
    lora: LoraRecipe = field(default_factory=LoraRecipe)

    @classmethod
    def read(cls, path: Path | str) -> "PackRecipe":
        """The recipe of a TOML file; paths in it are relative to the file.

        Raises:
            InputError: the file is missing, is not TOML, lacks a field or has one that no recipe has, or names a data
                set that is missing; the field is named.
        """
        path = Path(path)
        return cls.from_table(read_toml(path, what="recipe"), folder=path.parent, where=f"the recipe {path}")

    @classmethod
    def from_table(cls, table: Mapping[str, Any], *, folder: Path, where: str) -> "PackRecipe":
        """The recipe of a table that was read from TOML.

        Args:
            table: the fields.
            folder: what paths are relative to.
            where: words for the table in messages.

        Raises:
            InputError: as for :meth:`read`.
        """
        require_fields(table, known=_FIELDS, needed=("name", "base", "data", "seed", "experts"), where=where)
        experts = tuple(_expert(entry, where=where) for entry in table["experts"])
        names = [expert.name for expert in experts]
        if not experts:
            raise InputError(f"{where} has no expert, expected at least one: add a table [[experts]]")
        if (twice := first_repeated(names)) is not None:
            raise InputError(f"{where} has two experts called {twice!r}; rename one")
        data = folder / table["data"]
        folder_by_set = {name: data / name for expert in experts for name in expert.sets}
        require_folders(folder_by_set.values())
        return cls(
            name=table["name"],
            base=table["base"],
            experts=experts,
            data=data,
            folder_by_set=folder_by_set,
            cache=folder / table["cache"] if "cache" in table else None,
            notice=folder / table["notice"] if "notice" in table else None,
            sources=table.get("sources", {}),
            seed=table["seed"],
            checksum=_checksum({name: value for name, value in table.items() if name != "cache"}),
            lora=recipe_of(LoraRecipe, table.get("lora", {}), where=f"the table [lora] of {where}"),
        )


def require_folders(folders: Collection[Path]) -> None:
    """Do nothing if data sets are there.

    Raises:
        InputError: one is missing; it is named.
    """
    missing = [str(path) for path in folders if not path.is_dir()]
    if missing:
        raise InputError(f"data set {missing[0]} is missing ({len(missing)} in all); put it there, or change 'data'")


def _expert(entry: Mapping[str, Any], *, where: str) -> ExpertRecipe:
    where = f"expert {entry.get('name', '?')!r} of {where}"
    require_fields(entry, known=("name", "sets", "kind", "description"), needed=("name", "sets"), where=where)
    require_expert_name(entry["name"])
    kind = entry.get("kind", "linear")
    if kind not in get_args(ExpertKind):
        raise InputError(f"{where} has the kind {kind!r}, expected one of {', '.join(get_args(ExpertKind))}")
    description = entry.get("description", "")
    if not isinstance(description, str):
        raise InputError(f"{where} has the description {description!r}, expected a string: say what it is for")
    return ExpertRecipe(entry["name"], tuple(entry["sets"]), kind, description)


def _checksum(table: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True, default=str).encode()).hexdigest()
