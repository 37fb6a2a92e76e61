"""Trains an encoder on texts that belong together, both towers at once, into an expert with documents of its own."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from routeret.artifact import remove_leftovers, require_free
from routeret.encoders import DEFAULT_BASE, TorchEncoder
from routeret.errors import ExpertNotHelpfulError, InputError
from routeret.experts.names import require_expert_name
from routeret.fusion import SpaceFusion, require_space_fusion
from routeret.protocols import Encoder
from routeret.training.fitting import FitState
from routeret.training.tower import Tower, trainable
from routeret.training.tower_fit import fit_to_tasks
from routeret.training.tower_negatives import prepared
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.tower_report import DevSet, TowerReport, judged, measured, named_datasets, refusal, settings_of
from routeret.training.tower_rounds import files_of_rounds, remove_states


def train_two_tower(
    name: str,
    tasks: Sequence[TowerTask],
    data: Sequence[Path | str],
    *,
    out: Path | str,
    base: str | Path | Encoder = DEFAULT_BASE,
    recipe: TowerRecipe | None = None,
    device: str | None = None,
    how: SpaceFusion = "scores",
    seed: int = 0,
    cache: Path | None = None,
    force: bool = False,
    show_progress: bool = False,
) -> TowerReport:
    """Train both towers of a model on pairs, and write an expert with documents of its own, with its pilots.

    How long is chosen by the dev queries of the data sets, on which the tower is then measured beside the base. An
    interrupted training goes on where it stopped when it is repeated, and ends with the same expert. The state of a
    training whose expert was refused is kept in the same file.

    Args:
        name: of the expert.
        tasks: pairs that belong together; see :class:`TowerTask`.
        data: BEIR folders with train and, if possible, dev queries; nothing of them is trained on that is not in
            ``tasks``.
        out: the expert's folder; must not exist.
        base: the model to start from, by name or folder, or its encoder.
        recipe: the defaults where None.
        device: where the model runs; None takes a CUDA device if there is one.
        how: how its scores and the base's become comparable where it is measured, and in the retrievers that take it.
        seed: fixes every draw.
        cache: a folder where the base's vectors are kept between calls; None keeps none.
        force: write the expert even if it does not help, or if its training diverged after a checkpoint; what was
            trained already is not trained again.
        show_progress: draw progress bars on stderr.

    Raises:
        ExpertNotHelpfulError: beside the base the expert does not beat it on dev; the state of its training alone was
            written.
        InputError: the name is not allowed, there is no task or data set, two data sets have one name, ``how`` is no
            choice, or the base is no PyTorch model or cannot be trained so.
        CorpusError: a folder cannot be read, or has no train split.
        ArtifactError: there is something at ``out`` already, or beside it the state of an interrupted or refused
            training with other settings.
        TrainingDivergedError: a loss is not finite, and there is no checkpoint before it or ``force`` is not given;
            its batch is named.
    """
    out, recipe = Path(out), recipe or TowerRecipe()
    require_expert_name(name)
    if isinstance(data, str | Path) or not data:
        raise InputError(f"data is {data!r}, expected a list of at least one BEIR folder")
    require_space_fusion(how)
    datasets = named_datasets(data)
    require_free(out)
    encoder = trainable(base, device=device)
    recipe.require_base(encoder)
    sets = [DevSet.of(one, encoder, cache=cache, show_progress=show_progress) for one in datasets]
    tasks = prepared(tasks, encoder, recipe)
    state = FitState.beside(out, settings=settings_of(tasks, sets, recipe, encoder, seed=seed))
    tower = Tower(encoder, max_tokens=recipe.max_tokens)
    fitted = fit_to_tasks(
        tower,
        tasks,
        judge=lambda: judged(tower, sets, interaction=recipe.interaction),
        recipe=recipe,
        seed=seed,
        state=state,
        settle=force,
        show_progress=show_progress,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    # Named as the leftovers that are removed below, so that nothing stays of a process that was killed.
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.tmp-", dir=out.parent) as folder:
        tower.save(Path(folder) / "model")
        tuned = _encoder_of(Path(folder) / "model", like=encoder)
        report, tower_expert = measured(name, out, tuned, tasks, sets, fitted, recipe, model=None, how=how, seed=seed)
        if not report.helpful and not force:
            raise ExpertNotHelpfulError(refusal(report, kept=files_of_rounds(state, recipe)))
        tower_expert.save(out)
    remove_states(state, recipe)
    remove_leftovers(out)
    return report


def _encoder_of(folder: Path, *, like: TorchEncoder) -> TorchEncoder:
    """The encoder of a trained model, with prompts, token limit and precision of the one it was made from."""
    return TorchEncoder(
        folder,
        device=like.device,
        max_tokens=like.max_tokens,
        precision=like.precision,
        query_prompt=like.query_prompt,
        document_prompt=like.document_prompt,
    )
