"""Suites: an experiment in one file, from training its experts to its tables."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from routeret.artifact import differing_files, sha256_of, write_json
from routeret.datasets import load_dataset
from routeret.errors import ArtifactError, InputError
from routeret.evaluation.evaluating import evaluate
from routeret.evaluation.layout import EXPERT
from routeret.evaluation.report import Report
from routeret.evaluation.systems import known_systems, require_systems
from routeret.packs import read_pack
from routeret.training import build_pack
from routeret.training.pack_recipe import PackRecipe, require_folders
from routeret.training.recipe_file import read_toml, require_fields
from routeret.types import BASE

Setting = Literal["separate", "merged"]
"""One index a data set, or one index for all."""

_PACK = "pack"
_EMBEDDINGS = "embeddings"


@dataclass(frozen=True, slots=True)
class Suite:
    """What is trained, what is measured, and on what.

    Attributes:
        name: of the experiment.
        checksum: of the file, 64 hexadecimal digits.
        recipe: of the pack that is measured.
        work: the folder that keeps the built pack and the embeddings.
        split: whose queries are measured.
        systems: which systems.
        folders_by_setting: the data sets that are measured in each setting.
    """

    name: str
    checksum: str
    recipe: PackRecipe
    work: Path
    split: str
    systems: tuple[str, ...]
    folders_by_setting: Mapping[Setting, tuple[Path, ...]]

    @classmethod
    def read(cls, path: Path | str) -> "Suite":
        """The suite of a TOML file; paths in it are relative to the file.

        The table ``[pack]`` is a recipe as :class:`~routeret.training.pack_recipe.PackRecipe` reads it, without
        ``cache``. ``separate`` and ``merged`` name folders of its ``data``.

        Raises:
            InputError: the file cannot be read, lacks a field or has one that no suite has, measures nothing, or names
                a data set that is missing; the field is named.
        """
        path = Path(path)
        where, settings = f"the suite {path}", get_args(Setting)
        table = read_toml(path, what="suite")
        needed = ("name", "work", "split", "systems", "pack")
        require_fields(table, known=(*needed, *settings), needed=needed, where=where)
        if "cache" in table["pack"]:
            raise InputError(f"[pack] of {where} has a 'cache', but embeddings are kept in 'work'; remove it")
        recipe = PackRecipe.from_table(table["pack"], folder=path.parent, where=f"[pack] of {where}")
        folders = {one: tuple(recipe.data / name for name in table[one]) for one in settings if table.get(one)}
        if not folders:
            raise InputError(f"{where} measures nothing: give data sets as 'separate' or 'merged', or as both")
        require_folders([folder for one in folders.values() for folder in one])
        work = path.parent / table["work"]
        return cls(
            name=table["name"],
            checksum=sha256_of(path),
            recipe=replace(recipe, cache=work / _EMBEDDINGS),
            work=work,
            split=table["split"],
            systems=tuple(table["systems"]),
            folders_by_setting=folders,
        )


@dataclass(frozen=True, slots=True)
class SuiteReport:
    """What a suite measured.

    Attributes:
        suite: its name.
        checksum: of its file.
        reports: by setting.
    """

    suite: str
    checksum: str
    reports: Mapping[Setting, Report]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, read back by :meth:`from_json`."""
        reports = {setting: report.to_json() for setting, report in self.reports.items()}
        return {"suite": self.suite, "checksum": self.checksum, "reports": reports}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SuiteReport":
        """The report whose :meth:`to_json` gave these values."""
        reports = {cast("Setting", setting): Report.from_json(report) for setting, report in values["reports"].items()}
        return cls(suite=values["suite"], checksum=values["checksum"], reports=reports)

    def save(self, path: Path) -> None:
        """Write the JSON form whole or not at all, over an older one."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "SuiteReport":
        """Read a report that :meth:`save` wrote.

        Raises:
            ArtifactError: the file is missing, is not JSON or is not the report of a suite.
        """
        again = f"write it with: routeret suite SUITE.toml --output {path}"
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise ArtifactError(f"{path} does not exist; {again}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"{path} is not a suite's report of this version ({type(error).__name__}: {error}); {again}"
            ) from error

    def tables(self) -> str:
        """nDCG@10 of every setting as text: a table of the systems, and one of the single experts where there are any.

        Both have the base in their first column.
        """
        parts = []
        for setting, report in self.reports.items():
            parts += [f"{self.suite}, {setting}", report.table()]
            if experts := [name for name in report.mean if name.startswith(EXPERT)]:
                parts.append(report.table(systems=[BASE, *experts]))
        return "\n\n".join(parts)


def run_suite(
    file: Path | str,
    *,
    split: str | None = None,
    rebuild: bool = False,
    device: str | None = None,
    say: Callable[[str], None] | None = None,
    show_progress: bool = False,
) -> SuiteReport:
    """Build the pack of a suite, unless it is there, and measure it.

    A build that was interrupted goes on when the same call is repeated.

    Args:
        file: the suite, as :meth:`Suite.read` reads it.
        split: whose queries to measure; None takes the split of the file.
        rebuild: build the pack again, in place of the one that is there, which goes first.
        device: where models run and LoRA experts are trained.
        say: is told whether the pack is built or taken; None tells nobody.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: the suite cannot be read, or names a data set, kind or system that there is not.
        CorpusError: a data set cannot be read, or lacks the split.
        ArtifactError: the pack that is there is damaged, or was built from another recipe or other data; or there is
            the state of an interrupted training with other settings.
        TrainingDivergedError: a loss is not finite; its batch is named.
    """
    suite = Suite.read(file)
    if split is not None:
        suite = replace(suite, split=split)
    _require_measurable(suite)
    pack = suite.work / _PACK
    if rebuild:
        _remove_built(pack)
    if pack.exists():
        _require_same(suite, pack)
        news = f"taking the pack {suite.recipe.name!r} that is in {pack}"
    else:
        news = f"building the pack {suite.recipe.name!r} in {pack}"
    if say is not None:
        say(news)
    if not pack.exists():
        build_pack(suite.recipe, out=pack, device=device, show_progress=show_progress)
    reports = {
        setting: evaluate(
            folders,
            pack=pack,
            merged=setting == "merged",
            split=suite.split,
            systems=suite.systems,
            cache=suite.work / _EMBEDDINGS,
            device=device,
            show_progress=show_progress,
        )
        for setting, folders in suite.folders_by_setting.items()
    }
    return SuiteReport(suite=suite.name, checksum=suite.checksum, reports=reports)


def _require_measurable(suite: Suite) -> None:
    """Do nothing if the data sets have the split, and there are the systems, before an hour of training.

    Raises:
        CorpusError: a set cannot be read, or lacks the split.
        InputError: a system is unknown.
    """
    require_systems(suite.systems, known_systems([expert.name for expert in suite.recipe.experts]))
    for folder in {folder for folders in suite.folders_by_setting.values() for folder in folders}:
        load_dataset(folder).split(suite.split)


def _remove_built(pack: Path) -> None:
    """Remove a pack, and what an interrupted build of it left beside it."""
    if pack.exists():
        # What is no pack was not built by a suite, and is not removed.
        read_pack(pack)
        shutil.rmtree(pack)
    for state in pack.parent.glob(f".{pack.name}-*.training"):
        state.unlink()


def _require_same(suite: Suite, pack: Path) -> None:
    """Do nothing if a pack was built from the recipe of a suite and from the data that are there now.

    Raises:
        ArtifactError: it was not.
    """
    manifest = read_pack(pack).manifest
    found, expected = str(manifest.get("recipe")), suite.recipe.checksum
    if found != expected:
        raise _stale(pack, f"another recipe (checksum {found[:16]}, that of [pack] is now {expected[:16]})")
    changed = _changed_files(manifest["data"], suite.recipe.folder_by_set)
    if changed:
        raise _stale(pack, f"other data ({changed[0]} has changed, {len(changed)} in all)")


def _changed_files(checksums: Mapping[str, Mapping[str, str]], folder_by_set: Mapping[str, Path]) -> list[Path]:
    """The files of data sets whose content is not what a manifest says."""
    changed: list[Path] = []
    for name, folder in folder_by_set.items():
        changed += [file for file, _ in differing_files(folder, checksums[name])]
    return changed


def _stale(pack: Path, reason: str) -> ArtifactError:
    return ArtifactError(
        f"{pack} was built from {reason}; remove that folder to build it again, or give --rebuild (rebuild=True)"
    )
