"""Trains one mixture-of-experts encoder for several domains at once; every domain becomes an expert of one space."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from routeret.artifact import new_folder, remove_leftovers, require_free
from routeret.encoders import DEFAULT_BASE, TorchEncoder
from routeret.errors import ExpertNotHelpfulError, InputError
from routeret.experts.names import require_expert_name
from routeret.fusion import SpaceFusion, require_space_fusion
from routeret.protocols import Encoder
from routeret.training.document_domains import DocumentDomainsReport, fit_document_domains
from routeret.training.fitting import DevScore, FitState
from routeret.training.tower import Tower, trainable
from routeret.training.tower_fit import fit_to_tasks
from routeret.training.tower_negatives import prepared
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.tower_report import DevSet, TowerReport, judged, measured, named_datasets, refusal, settings_of
from routeret.training.tower_rounds import files_of_rounds, remove_states
from routeret.training.towers import MeasuredTower

if TYPE_CHECKING:
    from routeret.encoders.moe import MoeEncoder

_MODEL = "model"
_EXPERTS = "experts"


@dataclass(frozen=True, slots=True, eq=False)
class MoeDomain:
    """One domain of a mixture of experts.

    Attributes:
        name: of the domain, and of the expert that it becomes.
        tasks: pairs of the domain that belong together; see :func:`balanced` for what they count. The queries that
            judge the domain are not to be among them.
        data: BEIR folders with train and, if possible, dev queries of the domain, which judge it; without dev queries,
            some of the train queries do (:func:`~routeret.training.tower_sources.graph_of_train` leaves them out).
    """

    name: str
    tasks: Sequence[TowerTask]
    data: Sequence[Path | str]


@dataclass(frozen=True, slots=True)
class MoeReport:
    """What the training of a mixture of experts gave.

    Attributes:
        experts: a report for every domain, in order.
        documents: how well the domains of documents are told apart.
    """

    experts: tuple[TowerReport, ...]
    documents: DocumentDomainsReport

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "experts": {report.name: report.as_dict() for report in self.experts},
            "documents": self.documents.as_dict(),
        }


def train_moe(
    domains: Sequence[MoeDomain],
    *,
    out: Path | str,
    base: str | Path | Encoder = DEFAULT_BASE,
    layers: Sequence[int] | None = None,
    recipe: TowerRecipe | None = None,
    device: str | None = None,
    how: SpaceFusion = "scores",
    seed: int = 0,
    cache: Path | None = None,
    force: bool = False,
    show_progress: bool = False,
) -> MoeReport:
    """Train an upcycled encoder on several domains, a batch of each a step (arXiv 2401.15713, Methods).

    Every step trains what the domains share on all of them, and the feed-forward parts of each on its own pairs. The
    checkpoint that does best on the mean over domains is kept. ``out`` gets ``model``, the one encoder, and
    ``experts/<domain>``, which refer to it by its path: move the folder only before experts are added to an index.

    While training, the documents of a task are written for its domain. Dev queries are judged as an index is searched:
    every document is written for the domain that its words tell, whichever expert asks, so all experts have one space.

    Args:
        domains: at least two, with different names.
        out: the new folder; must not exist.
        base: the dense model to start from, by name or folder, or its encoder.
        layers: numbers of the layers that get a feed-forward part a domain, at least one; None takes all.
        recipe: the defaults where None.
        device: where the model runs; None takes a CUDA device if there is one.
        how: how their scores and the base's become comparable where they are measured, and in the retrievers that take
            them.
        seed: fixes every draw.
        cache: a folder where the base's vectors are kept between calls; None keeps none.
        force: write the experts of all domains, even of those that they do not help, and if the training diverged
            after a checkpoint.
        show_progress: draw progress bars on stderr.

    Returns:
        A report for every domain, and one of the documents; an expert that does not help is not written unless forced.

    Raises:
        ExpertNotHelpfulError: no domain's expert helps; nothing was written.
        InputError: there are fewer than two domains, one has no pairs or data or a name that is not allowed or fewer
            than two different documents, two data sets have one name, ``how`` is no choice, or the base is no PyTorch
            model of a known architecture, lacks one of ``layers`` or cannot be trained so.
        CorpusError: a folder cannot be read, or has no train split.
        ArtifactError: there is something at ``out`` already, or an interrupted training with other settings.
        TrainingDivergedError: a loss is not finite, and there is no checkpoint before it or ``force`` is not given;
            its batch is named.
    """
    from routeret.encoders.moe import upcycle

    out, recipe = Path(out), recipe or TowerRecipe()
    _require_domains(domains)
    require_space_fusion(how)
    datasets = {domain.name: named_datasets(domain.data) for domain in domains}
    # Domains may share a folder, but no name.
    named_datasets(list(dict.fromkeys(one.folder.resolve() for own in datasets.values() for one in own)))
    require_free(out)
    dense = trainable(base, device=device)
    recipe.require_base(dense)
    classifier, told = fit_document_domains(
        {domain.name: [text for task in domain.tasks for text in task.graph.right_texts] for domain in domains},
        seed=seed,
    )
    names = tuple(datasets)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.tmp-", dir=out.parent) as start:
        # A base or layers that do not fit are refused here, before anything is embedded.
        upcycle(dense.folder, domains=names, layers=layers, out=Path(start) / _MODEL)
        classifier.save(Path(start) / _MODEL)
        sets = {
            name: [DevSet.of(one, dense, cache=cache, show_progress=show_progress) for one in own]
            for name, own in datasets.items()
        }
        tasks = prepared(balanced(domains), dense, recipe)
        settings = settings_of(tasks, [one for own in sets.values() for one in own], recipe, dense, seed=seed)
        state = FitState.beside(out, settings={**settings, "layers": None if layers is None else list(layers)})
        upcycled = _encoder_of(Path(start) / _MODEL, names[0], like=dense)
        tower = Tower(upcycled, max_tokens=recipe.max_tokens)
        documents_by = Tower(upcycled.for_documents(), model=tower.model)
        fitted = fit_to_tasks(
            tower,
            tasks,
            judge=lambda: _judged(tower, sets, interaction=recipe.interaction, documents_by=documents_by),
            recipe=recipe,
            seed=seed,
            state=state,
            settle=force,
            show_progress=show_progress,
        )
        with new_folder(out) as written:
            tower.save(written / _MODEL)
            classifier.save(written / _MODEL)
            tuned = _encoder_of(written / _MODEL, names[0], like=dense)
            reports = []
            for domain in domains:
                report, expert = measured(
                    domain.name,
                    out / _EXPERTS / domain.name,
                    tuned.in_domain(domain.name),
                    domain.tasks,
                    sets[domain.name],
                    fitted,
                    recipe,
                    model=str(out.resolve() / _MODEL),
                    how=how,
                    seed=seed,
                )
                reports.append(report)
                if report.helpful or force:
                    _with_documents(expert, told).save(written / _EXPERTS / domain.name)
            if not force and not any(report.helpful for report in reports):
                raise ExpertNotHelpfulError(
                    " ".join(refusal(report, kept=files_of_rounds(state, recipe)) for report in reports)
                )
    remove_states(state, recipe)
    remove_leftovers(out)
    return MoeReport(tuple(reports), told)


def balanced(domains: Sequence[MoeDomain]) -> list[TowerTask]:
    """The tasks of all domains, each with the name of its own; domains count alike, however many tasks they have.

    Every step draws a batch from every task, so the weight of a task is divided by the number of its domain's tasks.
    """
    return [
        replace(task, domain=domain.name, weight=task.weight / len(domain.tasks))
        for domain in domains
        for task in domain.tasks
    ]


def _judged(
    tower: Tower, sets: Mapping[str, Sequence[DevSet]], *, interaction: float | None, documents_by: Tower
) -> DevScore:
    """The mean over domains of what each is worth on its own dev queries."""
    values, arrays = [], {}
    for name, own in sets.items():
        score = judged(tower.in_domain(name), own, interaction=interaction, documents_by=documents_by)
        values.append(score.value)
        arrays.update({f"{name}/{key}": array for key, array in score.arrays.items()})
    return DevScore(float(np.mean(values)), arrays)


def _with_documents(measured_tower: MeasuredTower, told: DocumentDomainsReport) -> MeasuredTower:
    """The expert with what is known about its documents among its details."""
    expert = measured_tower.expert
    return replace(measured_tower, expert=replace(expert, details={**expert.details, "documents": told.as_dict()}))


def _encoder_of(folder: Path, domain: str, *, like: TorchEncoder) -> "MoeEncoder":
    """The encoder of a mixture's domain, with the prompts, the token limit and the precision of the dense one."""
    from routeret.encoders.moe import MoeEncoder

    return MoeEncoder(
        folder,
        domain=domain,
        device=like.device,
        max_tokens=like.max_tokens,
        precision=like.precision,
        query_prompt=like.query_prompt,
        document_prompt=like.document_prompt,
    )


def _require_domains(domains: Sequence[MoeDomain]) -> None:
    names = [domain.name for domain in domains]
    if len(domains) < 2 or len(set(names)) < len(names):
        raise InputError(f"found the domains {', '.join(names) or 'none'}; expected at least two, each once")
    for domain in domains:
        require_expert_name(domain.name)
        if not domain.tasks or not domain.data:
            raise InputError(
                f"domain {domain.name!r} has {len(domain.tasks)} tasks with training pairs and {len(domain.data)} data "
                f"sets; expected at least one of each, or leave the domain out"
            )
