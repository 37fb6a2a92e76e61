"""The recipe of a pack, read from a TOML file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routeret.errors import InputError


@dataclass(frozen=True, slots=True)
class ExpertRecipe:
    """One expert of a pack: its name and the data sets that it is trained on."""

    name: str
    sets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackRecipe:
    """How a pack is made.

    Attributes:
        name: of the pack.
        base: name or folder of the base model.
        experts: at least one.
        folder_by_set: where every data set lies.
        cache: folder for embeddings; None keeps none.
        notice: a file with licences that goes into the pack; None for none.
        sources: what a corpus was made from, by data set; the data set itself where it is not named.
        seed: of everything that is drawn.
    """

    name: str
    base: str
    experts: tuple[ExpertRecipe, ...]
    folder_by_set: Mapping[str, Path]
    cache: Path | None
    notice: Path | None
    sources: Mapping[str, str]
    seed: int

    @classmethod
    def read(cls, path: Path | str) -> "PackRecipe":
        """The recipe of a TOML file; paths in it are relative to the file.

        Raises:
            InputError: the file is missing, is not TOML, or lacks a field; the field is named.
        """
        path = Path(path)
        try:
            fields = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"the recipe {path} cannot be read: {error}") from error
        try:
            return cls._from_fields(fields, folder=path.parent)
        except KeyError as error:
            raise InputError(
                f"the recipe {path} lacks the field {error}; compare it with a recipe that works"
            ) from error

    @classmethod
    def _from_fields(cls, fields: dict[str, Any], *, folder: Path) -> "PackRecipe":
        experts = tuple(ExpertRecipe(expert["name"], tuple(expert["sets"])) for expert in fields["experts"])
        data = folder / fields["data"]
        folder_by_set = {name: data / name for expert in experts for name in expert.sets}
        missing = [str(path) for path in folder_by_set.values() if not path.is_dir()]
        if missing:
            raise InputError(
                f"data set {missing[0]} is missing ({len(missing)} in all); put it there, or change 'data'"
            )
        return cls(
            name=fields["name"],
            base=fields["base"],
            experts=experts,
            folder_by_set=folder_by_set,
            cache=folder / fields["cache"] if "cache" in fields else None,
            notice=folder / fields["notice"] if "notice" in fields else None,
            sources=fields.get("sources", {}),
            seed=fields["seed"],
        )
