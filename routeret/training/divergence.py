"""What is said of a fit that came to a number that is not finite, and what can be had of it."""

from collections.abc import Sequence
from pathlib import Path

from routeret.errors import TrainingDivergedError

_SLOWER = "train with a lower learning rate in a new place"


class FitDivergedError(TrainingDivergedError):
    """A fit diverged before its first checkpoint.

    Attributes:
        found: what happened, without what to do about it.
    """

    def __init__(self, found: str, *, kept: Sequence[Path]) -> None:
        """Say what happened, and which files keep what was good before it."""
        super().__init__(
            f"{found}{_where(kept)}. No checkpoint was scored before it: look at these texts, or {_SLOWER}"
        )
        self.found = found


def not_taken(found: str, *, steps: int, score: float, kept: Sequence[Path]) -> TrainingDivergedError:
    """The error of a fit whose best checkpoint nobody asked for.

    Args:
        found: what happened.
        steps: after which the best checkpoint was scored, in all rounds.
        score: of it, on dev.
        kept: files that keep what was good, as far as they are there.
    """
    return TrainingDivergedError(
        f"{found}{_where(kept)}. {_best(steps, score)}: make an expert of it with --force (force=True), or {_SLOWER}"
    )


def taken(found: str, *, steps: int, score: float) -> str:
    """Words for a fit whose best checkpoint is what came of it; see :func:`not_taken`."""
    return f"{found}. {_best(steps, score)}, and was taken"


def _best(steps: int, score: float) -> str:
    return f"The best checkpoint before it, after {steps} steps in all, scored {score:.4f} on dev"


def _where(kept: Sequence[Path]) -> str:
    files = ", ".join(str(file) for file in kept if file.exists())
    return f". What was good before it is kept in {files}" if files else ""
