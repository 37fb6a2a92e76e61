"""A sentence-transformers model on a GPU, whose base and adapters share passes."""

from pathlib import Path

from routeret.encoders.graph.opened import Opened
from routeret.encoders.graph.query_graph import QueryGraph
from routeret.encoders.graph.text_passes import GraphFacts
from routeret.encoders.graph.tokens import Tokens
from routeret.encoders.torch import Precision, TorchEncoder


class StackedEncoder(TorchEncoder):
    """A model whose queries are run by PyTorch in bfloat16, those of several adapters in one pass.

    The arithmetic is that of an exported graph, see :mod:`routeret.encoders.graph.query_graph`, without an export. A
    model that it cannot hold or whose vectors would leave their space in bfloat16, a device that does not compute in
    that, and ``precision="float32"`` leave queries to :class:`~routeret.encoders.TorchEncoder`. Several threads may
    share one encoder.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str | None = None,
        max_tokens: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        batch_size: int | None = None,
        precision: Precision = "auto",
        kept_queries: int = 1024,
        download: bool = False,
    ) -> None:
        """Find the model and read its configuration.

        Args:
            model: see :class:`~routeret.encoders.TorchEncoder`, as for all that follow but one.
            device: where it runs.
            max_tokens: longer texts are cut.
            query_prompt: text put before every query.
            document_prompt: text put before every document.
            batch_size: documents in one pass.
            precision: arithmetic of both towers' transformer.
            kept_queries: of how many queries, those that came last, the vectors are kept.
            download: fetch a model that is not on this machine from the hub.

        Raises:
            ModelNotFoundError: the model is nowhere on this machine.
            InputError: an argument is outside what the model offers.
            ArtifactError: the model's folder is damaged.
        """
        super().__init__(
            model,
            device=device,
            max_tokens=max_tokens,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            batch_size=batch_size,
            precision=precision,
            download=download,
        )
        self._kept_queries = kept_queries
        self._graph = Opened(self._stacked)

    @property
    def query_graph(self) -> QueryGraph | None:
        """What runs queries, those of adapters among them; loads the model at the first call."""
        return self._graph.get()

    def on(self, device: str | None) -> TorchEncoder:
        """The same encoder, not yet loaded, on a device; None lets it choose."""
        other = super().on(device)
        if isinstance(other, StackedEncoder):
            other._graph = Opened(other._stacked)
        return other

    def _stacked(self) -> QueryGraph | None:
        from routeret.encoders.graph.exporting import inputs_of, is_exportable
        from routeret.encoders.graph.torch_runtime import TorchRuntime

        model = self._loaded()
        if not self.halves_documents or not is_exportable(self, model):
            return None
        runtime = TorchRuntime(self)
        tokenizer = model.tokenizer
        facts = GraphFacts(tuple(inputs_of(tokenizer)), tokenizer.pad_token_id, self.dim, tuple(runtime.layers))
        tokens = Tokens(tokenizer.backend_tokenizer.to_str(), max_tokens=self._max_tokens, prompt=self._query_prompt)
        return QueryGraph(runtime, tokens, facts, kept_queries=self._kept_queries)
