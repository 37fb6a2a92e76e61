"""Suites in TOML files: which pack, on which data sets, with which systems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from routeret.artifact import sha256_of
from routeret.errors import InputError
from routeret.repeats import first_repeated
from routeret.training.pack_recipe import PackRecipe
from routeret.training.recipe_file import field_names, read_toml, recipe_of, require_fields

Setting = Literal["separate", "merged"]
"""One index a data set, or one index for all."""

EMBEDDINGS = "embeddings"
"""The folder in ``work`` that keeps embeddings."""

_PACK = "pack"
_NEEDED = ("name", "work", "split", "systems", "pack")
_OPTIONAL = ("data", "seeds", "leave_out")


@dataclass(frozen=True, slots=True)
class Suite:
    """What is trained or taken, what is measured, and on what.

    Attributes:
        name: of the experiment.
        checksum: of the file, 64 hexadecimal digits.
        recipes: of the packs that are built and measured, by their folders in ``work``: one, or one a seed. None where
            there is a pack already.
        pack: the name or folder of that pack; None where packs are built.
        work: the folder that keeps built packs and embeddings.
        split: whose queries are measured.
        systems: which systems.
        leave_out: whether every set is measured with a pool that has never seen it.
        folders_by_setting: the data sets that are measured in each setting.
    """

    name: str
    checksum: str
    recipes: Mapping[str, PackRecipe]
    pack: str | None
    work: Path
    split: str
    systems: tuple[str, ...]
    leave_out: bool
    folders_by_setting: Mapping[Setting, tuple[Path, ...]]

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of all data sets that are measured, each once."""
        return tuple(dict.fromkeys(folder for folders in self.folders_by_setting.values() for folder in folders))

    @classmethod
    def read(cls, path: Path | str) -> "Suite":
        """The suite of a TOML file; paths in it are relative to the file. Whether the data sets are there is not asked.

        ``pack`` is the name or folder of a pack, with ``data``, the folder of the data sets, beside it; or it is a
        table: a recipe as :class:`~routeret.training.pack_recipe.PackRecipe` reads it, without ``cache``. With
        ``seeds``, that pack is built once from each of these in place of its own. ``separate`` and ``merged`` name
        folders of the data.

        Raises:
            InputError: the file cannot be read, lacks a field or has one that no suite has, or measures nothing, or
                the recipe names a data set that is missing; the field is named.
        """
        path = Path(path)
        where, settings = f"the suite {path}", get_args(Setting)
        table = read_toml(path, what="suite")
        require_fields(table, known=(*_NEEDED, *_OPTIONAL, *settings), needed=_NEEDED, where=where)
        plain = recipe_of(_Plain, {name: table[name] for name in field_names(_Plain) if name in table}, where=where)
        work = path.parent / plain.work
        recipes, pack, data = _pack_of(table, folder=path.parent, work=work, where=where)
        sets: dict[Setting, tuple[str, ...]] = {"separate": plain.separate, "merged": plain.merged}
        folders = {one: tuple(data / name for name in names) for one, names in sets.items() if names}
        if not folders:
            raise InputError(f"{where} measures nothing: give data sets as 'separate' or 'merged', or as both")
        for setting, own in folders.items():
            _require_each_once([folder.name for folder in own], where=f"{setting!r} of {where}")
        return cls(
            name=plain.name,
            checksum=sha256_of(path),
            recipes=recipes,
            pack=pack,
            work=work,
            split=plain.split,
            systems=plain.systems,
            leave_out=plain.leave_out,
            folders_by_setting=folders,
        )


@dataclass(frozen=True, slots=True)
class _Plain:
    """The fields of a suite that are what they say."""

    name: str
    work: str
    split: str
    systems: tuple[str, ...]
    data: str = ""
    leave_out: bool = False
    seeds: tuple[int, ...] = ()
    separate: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()


def _require_each_once(names: Sequence[str], *, where: str) -> None:
    twice = first_repeated(names)
    if twice is not None:
        raise InputError(f"{where} names two data sets {twice!r}; name each once, and rename the folder of one")


def _pack_of(
    table: Mapping[str, Any], *, folder: Path, work: Path, where: str
) -> tuple[dict[str, PackRecipe], str | None, Path]:
    """The recipes to build, or the pack to take, and the folder of the data sets."""
    pack = table[_PACK]
    if isinstance(pack, str):
        if "seeds" in table or "data" not in table:
            problem = "has 'seeds', but a pack that is taken has one" if "seeds" in table else "lacks the field 'data'"
            raise InputError(f"{where} takes the pack {pack!r} and {problem}; see docs/evaluation.md")
        own = folder / pack
        return {}, str(own) if own.is_dir() else pack, folder / table["data"]
    if not isinstance(pack, dict):
        raise InputError(f"{where} has pack = {pack!r}; expected the name or folder of a pack, or a table: [pack]")
    where_pack = f"[pack] of {where}"
    if "data" in table:
        raise InputError(f"{where} has 'data' beside [pack]; name the folder of the data sets in [pack] alone")
    if "cache" in pack:
        raise InputError(f"{where_pack} has a 'cache', but embeddings are kept in 'work'; remove it")
    tables = {_PACK: pack}
    if "seeds" in table:
        seeds = table["seeds"]
        if len(set(seeds)) < max(2, len(seeds)):
            raise InputError(f"{where} has seeds = {seeds!r}; expected a list of at least two, each once")
        tables = {f"{_PACK}-{seed}": {**pack, "seed": seed} for seed in seeds}
    recipes = {
        name: replace(PackRecipe.from_table(one, folder=folder, where=where_pack), cache=work / EMBEDDINGS)
        for name, one in tables.items()
    }
    return recipes, None, next(iter(recipes.values())).data
