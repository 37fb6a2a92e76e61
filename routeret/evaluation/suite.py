"""Suites: an experiment in one file, from training its experts to its tables."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from routeret.artifact import differing_files
from routeret.datasets import load_dataset
from routeret.downloads import fetch_missing
from routeret.errors import ArtifactError, InputError
from routeret.evaluation.evaluating import evaluate, evaluate_seeds
from routeret.evaluation.report import Report
from routeret.evaluation.seeds import SeedsReport
from routeret.evaluation.settings import EvaluationSettings
from routeret.evaluation.suite_file import EMBEDDINGS, Setting, Suite
from routeret.evaluation.suite_report import SuiteReport
from routeret.evaluation.systems import known_systems, require_systems
from routeret.packs import read_pack
from routeret.training import build_pack
from routeret.training.pack_recipe import PackRecipe, require_folders

__all__ = ["Suite", "SuiteReport", "run_suite"]


def run_suite(
    file: Path | str,
    *,
    split: str | None = None,
    download: bool = False,
    rebuild: bool = False,
    device: str | None = None,
    say: Callable[[str], None] | None = None,
    show_progress: bool = False,
) -> SuiteReport:
    """Build the packs of a suite, unless they are there or it takes one, and measure them.

    A build that was interrupted goes on when the same call is repeated.

    Args:
        file: the suite, as :meth:`Suite.read` reads it.
        split: whose queries to measure; None takes the split of the file.
        download: fetch the public data sets among those that are measured whose folders are not there.
        rebuild: build the packs again, in place of those that are there, which go first.
        device: where models run and LoRA experts are trained.
        say: is told whether a pack is built or taken; None tells nobody.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: the suite cannot be read, names a data set, kind or system that there is not, or is to rebuild a
            pack that it only takes.
        CorpusError: a data set cannot be read, or lacks the split.
        ArtifactError: the pack that is there is damaged, or was built from another recipe or other data; or there is
            the state of an interrupted training with other settings.
        DownloadError: a public data set cannot be fetched.
        TrainingDivergedError: a loss is not finite; its batch is named.
    """
    suite = Suite.read(file)
    if split is not None:
        suite = replace(suite, split=split)
    if rebuild and suite.pack is not None:
        raise InputError(f"the suite {file} takes the pack {suite.pack!r} and builds none; leave --rebuild out")
    if download:
        fetch_missing(suite.folders, show_progress=show_progress)
    require_folders(suite.folders)
    _require_measurable(suite)
    packs = [
        str(_built(recipe, suite.work / name, rebuild=rebuild, device=device, say=say, show_progress=show_progress))
        for name, recipe in suite.recipes.items()
    ]
    if suite.pack is not None:
        packs = [suite.pack]
    reports = {
        setting: _measured(suite, packs, setting, device=device, show_progress=show_progress)
        for setting in suite.folders_by_setting
    }
    return SuiteReport(suite=suite.name, checksum=suite.checksum, reports=reports)


def _measured(
    suite: Suite, packs: list[str], setting: Setting, *, device: str | None, show_progress: bool
) -> Report | SeedsReport:
    """What the packs score in one setting."""
    folders = suite.folders_by_setting[setting]
    settings = EvaluationSettings(
        split=suite.split,
        systems=suite.systems,
        merged=setting == "merged",
        leave_out=suite.leave_out,
        cache=suite.work / EMBEDDINGS,
    )
    if len(packs) == 1:
        return evaluate(folders, pack=packs[0], settings=settings, device=device, show_progress=show_progress)
    return evaluate_seeds(folders, packs, settings=settings, device=device, show_progress=show_progress)


def _built(
    recipe: PackRecipe,
    pack: Path,
    *,
    rebuild: bool,
    device: str | None,
    say: Callable[[str], None] | None,
    show_progress: bool,
) -> Path:
    """The folder of a recipe's pack, which is built there unless it is there."""
    if rebuild:
        _remove_built(pack)
    if pack.exists():
        _require_same(recipe, pack)
        news = f"taking the pack {recipe.name!r} that is in {pack}"
    else:
        news = f"building the pack {recipe.name!r} in {pack}"
    if say is not None:
        say(news)
    if not pack.exists():
        build_pack(recipe, out=pack, device=device, show_progress=show_progress)
    return pack


def _require_measurable(suite: Suite) -> None:
    """Do nothing if the data sets have the split, and there are the systems, before an hour of training.

    Raises:
        CorpusError: a set cannot be read, or lacks the split.
        InputError: a system, or the pack that is taken, is unknown.
        ArtifactError: that pack is damaged.
    """
    if suite.pack is not None:
        experts = list(read_pack(suite.pack).expert_folders)
    else:
        experts = [expert.name for expert in next(iter(suite.recipes.values())).experts]
    require_systems(suite.systems, known_systems(experts))
    for folder in suite.folders:
        load_dataset(folder).split(suite.split)


def _remove_built(pack: Path) -> None:
    """Remove a pack, and what an interrupted build of it left beside it."""
    if pack.exists():
        # What is no pack was not built by a suite, and is not removed.
        read_pack(pack)
        shutil.rmtree(pack)
    for state in pack.parent.glob(f".{pack.name}-*.training"):
        state.unlink()


def _require_same(recipe: PackRecipe, pack: Path) -> None:
    """Do nothing if a pack was built from a recipe and from the data that are there now.

    Raises:
        ArtifactError: it was not.
    """
    manifest = read_pack(pack).manifest
    found, expected = str(manifest.get("recipe")), recipe.checksum
    if found != expected:
        raise _stale(pack, f"another recipe (checksum {found[:16]}, that of [pack] is now {expected[:16]})")
    changed = _changed_files(manifest["data"], recipe.folder_by_set)
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
