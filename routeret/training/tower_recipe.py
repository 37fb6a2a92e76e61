"""What a text tower is trained on, and how."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from routeret.errors import InputError
from routeret.mining import BipartiteGraph
from routeret.training.fitting import Schedule
from routeret.types import IntArray

Objective = Literal["one_way", "symmetric", "many_to_many"]
"""Which pairs of a batch belong together, and in which directions; see :class:`TowerRecipe`."""


@dataclass(frozen=True, slots=True, eq=False)
class TowerTask:
    """Texts of two sides that belong together: queries and documents, papers and papers, skills and jobs.

    The left is encoded as queries are, the right as documents are.

    Attributes:
        graph: the texts, and which of them belong together.
        weight: of its loss among the tasks of one training.
        temperature: what cosines are divided by.
        hard_negatives: int64, shape (n_left, n); rows on the right that are like a left text and do not belong to it,
            -1 where there are fewer. None leaves them out.
        domain: of a mixture of experts, whose experts encode these texts; None where the tower has no domains.
    """

    graph: BipartiteGraph
    weight: float = 1.0
    temperature: float = 0.05
    hard_negatives: IntArray | None = None
    domain: str | None = None

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            InputError: a weight or temperature is not above 0, or negatives are missing for some texts.
        """
        if not (self.weight > 0 and self.temperature > 0):
            raise InputError(
                f"task {self.graph.name!r} has weight {self.weight} and temperature {self.temperature}, expected "
                f"above 0"
            )
        if self.hard_negatives is not None and len(self.hard_negatives) != len(self.graph.left_ids):
            raise InputError(
                f"task {self.graph.name!r} has {len(self.graph.left_ids)} left texts and hard negatives of "
                f"{len(self.hard_negatives)}; mine them for this graph"
            )


@dataclass(frozen=True, slots=True)
class TowerRecipe:
    """How a tower is trained.

    Attributes:
        checkpoints: after how many steps the tower is scored on dev; the best one is kept.
        learning_rate: of AdamW, after the warm-up.
        batch: pairs a step and task.
        max_tokens: longer texts are cut while training, and only then.
        objective: ``"one_way"``: InfoNCE, of the rights of a batch the one that was drawn belongs to a left.
            ``"symmetric"``: the same in both directions, as multiple-negatives ranking has it. ``"many_to_many"``:
            both directions, and every pair of the batch that is known to belong together counts as a positive
            (Unified Work Embeddings, 2511.07969).
        n_hard_negatives: of every left text, beside the rights of the batch; mined from the base and from BM25 where
            a task brings none (see :func:`~routeret.training.tower_negatives.with_hard_negatives`).
        interaction: temperature of the soft late interaction between the tokens of a left text and the pooled vectors
            of the rights, by which pairs are scored while training and afterwards; None compares pooled vectors.
    """

    checkpoints: tuple[int, ...] = (50, 100, 200, 400)
    learning_rate: float = 5e-5
    batch: int = 32
    max_tokens: int = 128
    objective: Objective = "many_to_many"
    n_hard_negatives: int = 0
    interaction: float | None = None

    def __post_init__(self) -> None:
        """Refuse settings without a meaning."""
        if self.objective not in get_args(Objective):
            raise InputError(f"found objective {self.objective!r}, expected one of: {', '.join(get_args(Objective))}")
        if self.batch < 2 or self.max_tokens < 3 or self.n_hard_negatives < 0:
            raise InputError(
                f"batch is {self.batch}, max_tokens {self.max_tokens}, n_hard_negatives {self.n_hard_negatives}; "
                f"expected at least 2, 3 and 0"
            )

    @property
    def schedule(self) -> Schedule:
        """The steps of the fit."""
        return Schedule(checkpoints=self.checkpoints, learning_rate=self.learning_rate)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "checkpoints": list(self.checkpoints)}
