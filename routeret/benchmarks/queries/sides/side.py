"""What a side must do to be asked."""

from abc import abstractmethod
from collections.abc import Sequence

from routeret.benchmarks.queries.material import Material
from routeret.benchmarks.sides import Side


class QuerySide(Side):
    """A way from texts to the ids of the best documents."""

    def __init__(self, material: Material) -> None:
        """Keep what it is measured on."""
        self._material = material

    @abstractmethod
    def search(self, texts: Sequence[str]) -> list[list[str]]:
        """The ids of the best documents of every text, best first."""

    def passes(self, text: str) -> int:  # noqa: ARG002 - for sides that route
        """Through how many experts a query goes."""
        return 0

    def query_runtime(self) -> str | None:
        """What runs the model, where the side chooses that."""
        return None

    def use_all(self, texts: Sequence[str]) -> None:
        """Ask everything that it can be asked, one query at a time, so that all it ever loads is in memory."""
        for text in texts:
            self.search([text])
