"""The recipe of a pack, read from a TOML file."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from routeret.chance import require_seed
from routeret.errors import InputError
from routeret.experts.names import require_expert_name
from routeret.repeats import first_repeated
from routeret.training.expert import ExpertKind
from routeret.training.lora import LoraRecipe
from routeret.training.recipe_file import field_names, read_toml, recipe_of, require_fields, require_tables


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

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            InputError: the name cannot name an expert, or there is no data set.
        """
        require_expert_name(self.name)
        if not self.sets:
            raise InputError("sets is empty, expected the names of one or more data sets")


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

    def __post_init__(self) -> None:
        """Refuse a seed where chance cannot start.

        Raises:
            InputError: it is below 0.
        """
        require_seed(self.seed)

    @classmethod
    def read(cls, path: Path | str) -> "PackRecipe":
        """The recipe of a TOML file; paths in it are relative to the file.

        Raises:
            InputError: the file is missing, is not TOML, lacks a field or has one that no recipe has or that is of
                another type, or names a data set that is missing; the field is named.
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
        names = field_names(_Plain)
        known, needed = (*names, "experts", "sources", "lora"), ("name", "base", "data", "seed", "experts")
        require_fields(table, known=known, needed=needed, where=where)
        plain = recipe_of(_Plain, {name: value for name, value in table.items() if name in names}, where=where)
        experts = _experts(table["experts"], where=where)
        data = folder / plain.data
        folder_by_set = {name: data / name for expert in experts for name in expert.sets}
        require_folders(folder_by_set.values())
        return cls(
            name=plain.name,
            base=plain.base,
            experts=experts,
            data=data,
            folder_by_set=folder_by_set,
            cache=folder / plain.cache if plain.cache else None,
            notice=folder / plain.notice if plain.notice else None,
            sources=_sources(table.get("sources", {}), where=where),
            seed=plain.seed,
            checksum=_checksum({name: value for name, value in table.items() if name != "cache"}),
            lora=_lora(table.get("lora", {}), where=where),
        )


@dataclass(frozen=True, slots=True)
class _Plain:
    """The fields of a recipe that are what they say."""

    name: str
    base: str
    data: str
    seed: int
    cache: str = ""
    notice: str = ""

    def __post_init__(self) -> None:
        """Refuse a seed where chance cannot start, while the file can still be named."""
        require_seed(self.seed)


def require_folders(folders: Collection[Path]) -> None:
    """Do nothing if data sets are there.

    Raises:
        InputError: one is missing; it is named.
    """
    missing = [str(path) for path in folders if not path.is_dir()]
    if missing:
        raise InputError(f"data set {missing[0]} is missing ({len(missing)} in all); put it there, or change 'data'")


def _experts(tables: list[dict[str, Any]], *, where: str) -> tuple[ExpertRecipe, ...]:
    require_tables(tables, name="experts", where=where)
    if not tables:
        raise InputError(f"{where} has no expert, expected at least one: add a table [[experts]]")
    experts = tuple(_expert(table, where=where) for table in tables)
    if (twice := first_repeated([expert.name for expert in experts])) is not None:
        raise InputError(f"{where} has two experts called {twice!r}; rename one")
    return experts


def _expert(table: dict[str, Any], *, where: str) -> ExpertRecipe:
    where = f"expert {table.get('name', '?')!r} of {where}"
    require_fields(table, known=field_names(ExpertRecipe), needed=("name", "sets"), where=where)
    return recipe_of(ExpertRecipe, table, where=where)


def _sources(table: object, *, where: str) -> dict[str, str]:
    if not isinstance(table, dict) or not all(isinstance(source, str) for source in table.values()):
        raise InputError(f"{where} has sources = {table!r}, expected a table [sources] with text by data set")
    return table


def _lora(table: object, *, where: str) -> LoraRecipe:
    if not isinstance(table, dict):
        raise InputError(f"{where} has lora = {table!r}, expected a table: [lora]")
    return recipe_of(LoraRecipe, table, where=f"the table [lora] of {where}")


def _checksum(table: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True, default=str).encode()).hexdigest()
