"""What a text tower is trained on, and how."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from routeret.encoders import TorchEncoder
from routeret.errors import InputError
from routeret.index.tokens import TokenStorage, require_token_storage
from routeret.mining import BipartiteGraph
from routeret.training.fitting import Schedule
from routeret.training.negatives import MARGIN
from routeret.training.recipe_numbers import is_finite, require_finite
from routeret.types import IntArray

Objective = Literal["one_way", "symmetric", "many_to_many", "mnr_plus"]
"""Which pairs of a batch belong together, and in which directions; see :class:`TowerRecipe`."""

_TEMPERATURE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class TowerTask:
    """Texts of two sides that belong together: queries and documents, papers and papers, skills and jobs.

    The left is encoded as queries are, the right as documents are.

    Attributes:
        graph: the texts, and which of them belong together; how often they do (its weights) does not count.
        weight: of its loss among the tasks of one training.
        temperature: what cosines, or with the objective ``"mnr_plus"`` inner products, are divided by; None takes 0.05
            for cosines, and for inner products 1, as their paper has it.
        hard_negatives: int64, shape (n_left, n); rows on the right that are like a left text and do not belong to it,
            -1 where there are fewer. None leaves them out.
        domain: of a mixture of experts, whose experts encode these texts; None where the tower has no domains.
    """

    graph: BipartiteGraph
    weight: float = 1.0
    temperature: float | None = None
    hard_negatives: IntArray | None = None
    domain: str | None = None

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            InputError: a weight or temperature is not above 0 or not finite, or negatives are missing for some texts.
        """
        settings = [self.weight] if self.temperature is None else [self.weight, self.temperature]
        if not all(is_finite(value) and value > 0 for value in settings):
            raise InputError(
                f"task {self.graph.name!r} has weight {self.weight} and temperature {self.temperature}, expected "
                f"above 0 and finite"
            )
        if self.hard_negatives is not None and len(self.hard_negatives) != len(self.graph.left_ids):
            raise InputError(
                f"task {self.graph.name!r} has {len(self.graph.left_ids)} left texts and hard negatives of "
                f"{len(self.hard_negatives)}; mine them for this graph"
            )

    def temperature_for(self, objective: Objective) -> float:
        """What scores are divided by with an objective."""
        if self.temperature is not None:
            return self.temperature
        return 1.0 if objective == "mnr_plus" else _TEMPERATURE


@dataclass(frozen=True, slots=True)
class TowerRecipe:
    """How a tower is trained.

    Attributes:
        checkpoints: after how many steps of a round the tower is scored on dev; the best one is kept.
        learning_rate: of AdamW, after the warm-up.
        batch: pairs a step and task.
        max_tokens: longer texts are cut while training, and only then.
        objective: ``"one_way"``: InfoNCE, of the rights of a batch the one that was drawn belongs to a left.
            ``"symmetric"``: the same in both directions, as multiple-negatives ranking has it. ``"many_to_many"``:
            both directions, and every pair of the batch that is known to belong together counts as a positive
            (Unified Work Embeddings, 2511.07969). ``"mnr_plus"``: ``"symmetric"`` over the inner products of pooled
            vectors before they get length 1, where the target of a pair is the pair most like it (2401.15713, see
            :func:`~routeret.training.losses.mnr_plus`); among vectors of length 1 it would be ``"symmetric"``. The
            expert compares vectors as the base does. It needs a base that pools by the mean, and takes neither hard
            negatives nor an interaction.
        n_hard_negatives: of every left text, beside the rights of the batch; mined from the base and from BM25 where
            a task brings none (see :func:`~routeret.training.tower_negatives.with_hard_negatives`). Like the rights of
            the batch, one that was mined for a left text is a negative of all lefts of the batch it does not belong
            to; the margin was checked for that left text alone.
        margin: how far below the scores of what belongs to a text its hard negatives stay; see
            :func:`~routeret.training.negatives.hard_negatives`.
        rounds: how often the tower is fitted. Every further round goes on from the best checkpoint so far, with as
            many steps, and takes every other hard negative from what that checkpoint itself finds.
        interaction: temperature of the soft late interaction between the tokens of a left text and the pooled vectors
            of the rights, by which pairs are scored while training and afterwards; None compares pooled vectors.
        token_storage: precision in which the trained expert keeps the documents' token vectors, to compare the tokens
            of a query with them; None compares them with pooled vectors, as is done while training in any case.
    """

    checkpoints: tuple[int, ...] = (50, 100, 200)
    learning_rate: float = 5e-5
    batch: int = 32
    max_tokens: int = 128
    objective: Objective = "many_to_many"
    n_hard_negatives: int = 0
    margin: float = MARGIN
    rounds: int = 1
    interaction: float | None = None
    token_storage: TokenStorage | None = None

    def __post_init__(self) -> None:
        """Refuse settings without a meaning.

        Raises:
            InputError: a setting is outside its range or no finite number, or two do not go together.
        """
        require_finite(self)
        if self.objective not in get_args(Objective):
            raise InputError(f"found objective {self.objective!r}, expected one of: {', '.join(get_args(Objective))}")
        if self.batch < 2 or self.max_tokens < 3 or self.n_hard_negatives < 0:
            raise InputError(
                f"batch is {self.batch}, max_tokens {self.max_tokens}, n_hard_negatives {self.n_hard_negatives}; "
                f"expected at least 2, 3 and 0"
            )
        if not 0 <= self.margin <= 1 or self.rounds < 1:
            raise InputError(f"margin is {self.margin}, rounds {self.rounds}; expected 0 to 1, and at least 1")
        if self.interaction is not None and not self.interaction > 0:
            raise InputError(
                f"interaction is {self.interaction}, expected a temperature above 0 to train with; leave it out to "
                f"compare pooled vectors"
            )
        self._require_one_way_to_compare()
        # The schedule refuses checkpoints that do not rise, and a rate that is not above 0.
        _ = self.schedule

    def _require_one_way_to_compare(self) -> None:
        if self.rounds > 1 and not self.n_hard_negatives:
            raise InputError(
                f"rounds is {self.rounds} without hard negatives, which further rounds are for; set n_hard_negatives, "
                f"or give more checkpoints"
            )
        if self.token_storage is not None:
            require_token_storage(self.token_storage)
            if self.interaction is None:
                raise InputError(
                    f"token_storage is {self.token_storage} without interaction; give a temperature above 0, or keep "
                    f"no tokens"
                )
        if self.objective == "mnr_plus" and (self.n_hard_negatives or self.interaction is not None):
            raise InputError(
                f"found objective 'mnr_plus' with n_hard_negatives {self.n_hard_negatives} and interaction "
                f"{self.interaction}; it compares pooled vectors of pairs alone: leave both out, or take 'symmetric'"
            )

    @property
    def schedule(self) -> Schedule:
        """The steps of one round."""
        return Schedule(checkpoints=self.checkpoints, learning_rate=self.learning_rate)

    def require_base(self, base: TorchEncoder) -> None:
        """Do nothing if a base can be trained so.

        Raises:
            InputError: it has no token vectors, and they are needed.
        """
        needs_tokens = self.interaction is not None or self.objective == "mnr_plus"
        if needs_tokens and not base.has_token_vectors:
            raise InputError(
                f"objective is {self.objective!r} and interaction {self.interaction}, which need a base that pools by "
                f"the mean with nothing but normalisation behind it; {base.folder} does not: take another base, or "
                f"another objective without interaction"
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; what has no effect is left out."""
        values = {**asdict(self), "checkpoints": list(self.checkpoints)}
        if not self.n_hard_negatives:
            del values["margin"], values["rounds"]
        if self.token_storage is None:
            del values["token_storage"]
        return values
