"""What a utility router can be set to; the defaults come from dev splits with every training corpus left out once."""

from dataclasses import asdict, dataclass
from typing import Any

from routeret.errors import InputError


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """How a utility router turns what it knows into weights.

    Attributes:
        temperature: of the softmax over predicted gains, in units of nDCG@10; lower means closer to one expert.
        unknown_strength: the most strength that an expert gets where the base's first hits are not among the
            documents that it was trained over.
        known_share: share of known first hits from which on an expert may act at full strength.
        unknown_prior: how likely a training corpus stays, against one whose documents stand in the index, where its
            own expert knows none of the base's first hits.
        shrinkage: a mean gain over n pilots counts n / (n + shrinkage) of itself.
        regularisation: inverse strength C of the logistic regression that guesses the training corpus.
        lexical_weight: weight of the lexical score where no expert knows the documents.
        corpus_penalty: by how much a document's score is lowered, at most, where it stands among the training
            documents of a corpus that the query does not look like, beside documents of one that it does.
        index_strength: of the index's own map, where no expert knows the base's first hits.
    """

    temperature: float = 0.01
    unknown_strength: float = 0.1
    known_share: float = 0.25
    unknown_prior: float = 0.1
    shrinkage: float = 10.0
    regularisation: float = 10.0
    lexical_weight: float = 0.2
    corpus_penalty: float = 0.15
    index_strength: float = 0.2

    def __post_init__(self) -> None:
        """Refuse settings without a meaning."""
        for name, value in asdict(self).items():
            if not value >= 0:
                raise InputError(f"router setting {name} is {value}, expected at least 0")
        for name in ("temperature", "known_share", "unknown_prior", "regularisation"):
            if getattr(self, name) == 0:
                raise InputError(f"router setting {name} is 0, expected more than 0")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)
