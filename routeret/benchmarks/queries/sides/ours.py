"""This library's retriever, asked in several ways."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from routeret.benchmarks.queries.material import K, Material
from routeret.benchmarks.queries.sides.side import QuerySide
from routeret.types import BASE, LEXICAL

if TYPE_CHECKING:
    from routeret.encoders import TorchEncoder

Precision = Literal["auto", "float32", "int8"]


class RetrieverSide(QuerySide):
    """A retriever with all its experts loaded; it answers with texts, spans and the routing, as users get them."""

    packages = ("routeret", "onnxruntime", "faiss-cpu")

    def __init__(
        self,
        material: Material,
        *,
        index: str,
        expert: str | None = None,
        disable: tuple[str, ...] = (),
        precision: Precision = "auto",
        by_pytorch: bool = False,
    ) -> None:
        """Keep how it will be asked.

        Args:
            material: what all sides are measured on.
            index: which of the indexes.
            expert: asked alone instead of routing.
            disable: what the routing does without.
            precision: of the graph that runs the queries.
            by_pytorch: whether PyTorch runs them instead.
        """
        super().__init__(material)
        self._folder = material.index_folder(index)
        self._expert = expert
        self._disable = disable
        self._precision: Precision = precision
        self._by_pytorch = by_pytorch

    def open(self) -> None:
        """Open the retriever and load all that it needs."""
        from routeret.retriever import Retriever

        self._encoder = self._encoder_made()
        device = self._material.facts.device
        self._retriever = Retriever.open(self._folder, base=self._encoder, device=device)
        self._retriever.warm()

    def search(self, texts: Sequence[str]) -> list[list[str]]:
        """The ids of the best documents."""
        found = self._retriever.search_batch(texts, K, expert=self._expert, disable=self._disable)
        return [[hit.id for hit in hits] for hits in found]

    def passes(self, text: str) -> int:
        """How many experts the router weighs for a query."""
        if self._expert is not None:
            return 0
        weights = self._retriever.search(text, K, disable=self._disable).routing.weights
        return sum(1 for name, weight in weights.items() if weight > 0 and name not in (BASE, LEXICAL))

    def use_all(self, texts: Sequence[str]) -> None:
        """Ask the router and every expert, one query at a time."""
        super().use_all(texts)
        for name in self._retriever.expert_names:
            self._retriever.search(texts[0], K, expert=name)

    def query_runtime(self) -> str:
        """What runs the model."""
        from routeret.encoders import OnnxEncoder

        return self._encoder.query_runtime if isinstance(self._encoder, OnnxEncoder) else "torch"

    def describe(self) -> dict[str, Any]:
        """The versions, and the arithmetic of queries."""
        return {**super().describe(), "precision": self._found_precision()}

    def _encoder_made(self) -> "TorchEncoder":
        """The encoder; without the store of vectors, so that a query that comes again is computed again."""
        from routeret.encoders import OnnxEncoder, StackedEncoder, TorchEncoder

        facts = self._material.facts
        if self._by_pytorch:
            return TorchEncoder(facts.model, query_prompt=facts.query_prompt, device=facts.device)
        if facts.on_processor:
            return OnnxEncoder(
                facts.model, query_prompt=facts.query_prompt, query_precision=self._precision, kept_queries=0
            )
        return StackedEncoder(facts.model, query_prompt=facts.query_prompt, device=facts.device, kept_queries=0)

    def _found_precision(self) -> str:
        from routeret.artifact import read_manifest
        from routeret.encoders.graph.store import FORMAT, KIND, graph_key, graphs_folder

        if not self._material.facts.on_processor:
            return "float32" if self._encoder.query_graph is None else "bfloat16"
        folder = graphs_folder()
        graph = None if folder is None else folder / graph_key(self._encoder.space)
        if self._by_pytorch or graph is None or not graph.is_dir():
            return "float32"
        if self._precision != "auto":
            return self._precision
        return str(read_manifest(graph, kind=KIND, format_number=FORMAT, verify=False)["precision"])
