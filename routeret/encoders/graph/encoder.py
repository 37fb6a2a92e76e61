"""A sentence-transformers model whose queries are run by ONNX Runtime where its graph has been exported."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from routeret.encoders.devices import runs_on_processor
from routeret.encoders.graph.document_graph import DocumentGraph
from routeret.encoders.graph.opened import Opened
from routeret.encoders.graph.query_graph import QueryGraph
from routeret.encoders.graph.remembering import remember_hash, remembered_hash
from routeret.encoders.graph.stacked_encoder import StackedEncoder
from routeret.encoders.graph.store import VARIABLE, graph_key, graphs_folder, is_there
from routeret.encoders.torch import Precision, TorchEncoder
from routeret.errors import ArtifactError, InputError, RouteretError
from routeret.optional import require
from routeret.types import Document, EncodedDocuments

QueryPrecision = Literal["auto", "float32", "int8"]
RuntimeName = Literal["auto", "openvino", "torch"]


class OnnxEncoder(TorchEncoder):
    """A model on a processor, whose texts are run by a graph once :meth:`prepare` has made it.

    Base and adapters share the graph, see :mod:`routeret.encoders.graph.query_graph`. ONNX Runtime runs all queries;
    OpenVINO runs documents, in bfloat16, where it is installed, PyTorch elsewhere. Until there is a graph, PyTorch runs
    everything. Several threads may share one encoder.
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
        query_precision: QueryPrecision = "auto",
        runtime: RuntimeName = "auto",
        threads: int | None = None,
        kept_queries: int = 1024,
        download: bool = False,
    ) -> None:
        """Find the model and read its configuration.

        Args:
            model: see :class:`~routeret.encoders.TorchEncoder`, as for all that follow but five.
            device: ``"cpu"`` or None.
            max_tokens: longer texts are cut.
            query_prompt: text put before every query.
            document_prompt: text put before every document.
            batch_size: documents in one pass of PyTorch.
            precision: arithmetic of the document tower.
            query_precision: arithmetic of the graph: ``"float32"``; ``"int8"``, see
                :mod:`routeret.encoders.graph.quantising`; ``"auto"`` takes the faster one, as measured on this machine
                when the graph was made, of those whose probes have a cosine of 0.999 or more to float32. Asked for
                by name, ``"int8"`` is taken with a warning below 0.99.
            runtime: what documents are run by: ``"torch"``, ``"openvino"``, or ``"auto"``, which takes OpenVINO where
                it is installed and the processor computes in bfloat16.
            threads: processor threads that queries of one call may use, and how many passes OpenVINO runs at once;
                None takes as many as there are cores, for queries up to 4.
            kept_queries: of how many queries, those that came last, the vectors are kept, so that asking again costs
                no pass.
            download: fetch a model that is not on this machine from the hub.

        Raises:
            ModelNotFoundError: the model is nowhere on this machine.
            InputError: an argument is outside what the model offers.
            ArtifactError: the model's folder is damaged.
            MissingExtraError: OpenVINO was asked for and is not installed.
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
        if device not in (None, "cpu"):
            raise InputError(f"found device {device!r}, expected cpu: a graph runs on the processor; use TorchEncoder")
        if query_precision not in ("auto", "float32", "int8"):
            raise InputError(f"found query_precision {query_precision!r}, expected auto, float32 or int8")
        if threads is not None and threads < 1:
            raise InputError(f"found threads {threads}, expected at least 1")
        self._query_precision: QueryPrecision = query_precision
        if runtime not in ("auto", "openvino", "torch"):
            raise InputError(f"found runtime {runtime!r}, expected auto, openvino or torch")
        if runtime == "openvino":
            require("openvino", extra="openvino")
            if precision == "float32":
                raise InputError("found precision 'float32' and runtime 'openvino', which is asked for bfloat16")
        self._runtime: RuntimeName = runtime
        if kept_queries < 0:
            raise InputError(f"found kept_queries {kept_queries}, expected at least 0")
        self._threads = threads
        self._kept_queries = kept_queries
        self._query_graph = Opened(self._opened_for_queries)
        self._document_graph = Opened(self._opened_for_documents, once_a_process=True)

    @property
    def query_graph(self) -> QueryGraph | None:
        """What runs queries; None where no graph has been exported on this machine. Opened at the first call."""
        return self._query_graph.get()

    @property
    def document_graph(self) -> DocumentGraph | None:
        """What runs documents; None where PyTorch does. Opened at the first call.

        Raises:
            ArtifactError: OpenVINO was asked for, and the graph is damaged or its vectors are not PyTorch's.
        """
        return self._document_graph.get()

    @property
    def query_runtime(self) -> Literal["onnxruntime", "torch"]:
        """What runs queries; opened at the first call."""
        return "torch" if self.query_graph is None else "onnxruntime"

    def encode_documents(self, documents: Sequence[Document]) -> EncodedDocuments:
        """Vectors of the documents, float32, shape (n_documents, dim), in their order, and which were cut.

        Raises:
            InputError: something other than a list of documents came.
        """
        graph = self.document_graph
        if graph is None:
            return super().encode_documents(documents)
        return EncodedDocuments(*graph.vectors(self.document_texts(documents)))

    def prepare(self) -> bool:
        """Export the graph, unless this machine has it; takes some ten seconds, once a model and machine.

        The model's content hash is remembered beside it, so that opening the model reads no weights.

        Returns:
            Whether queries are run by a graph now; not where exporting is switched off, or where the model has parts
            that a graph cannot hold.

        Raises:
            MissingExtraError: a library for exporting is not installed.
            ArtifactError: the graph cannot be made or written, or its vectors differ from PyTorch's.
        """
        folder = self._graph_folder()
        if folder is None or not (is_there(folder) or self._is_exported(folder)):
            return False
        remember_hash(self._folder)
        # Another process may have exported it since this one looked.
        self._query_graph.look_again()
        self._document_graph.look_again()
        return self.query_graph is not None

    def on(self, device: str | None) -> TorchEncoder:
        """The same model on a device, not yet loaded; on a processor with the graph that is open."""
        if runs_on_processor(device):
            return super().on(device)
        settings: dict[str, Any] = {
            "device": device,
            "max_tokens": self._max_tokens,
            "query_prompt": self._query_prompt,
            "document_prompt": self._document_prompt,
            "batch_size": self._batch_size,
            "precision": self._precision,
        }
        if self._query_precision != "auto":
            # Queries that were not to be in bfloat16 are not elsewhere, either.
            return TorchEncoder(self.folder, **settings)
        return StackedEncoder(self.folder, kept_queries=self._kept_queries, **settings)

    @cached_property
    def _content(self) -> str:
        """The content hash, without reading the weights where it was remembered."""
        return remembered_hash(self._folder) or super()._content

    def _is_exported(self, folder: Path) -> bool:
        """Export the graph; gives whether there is one, which is not where the model has parts that it cannot hold."""
        from routeret.encoders.graph.exporting import export_query_graph, is_exportable

        # Encoders with other prompts and limits share the graph, so it is made and measured without those of this one.
        plain = TorchEncoder(self.folder, device="cpu")
        model = plain.fresh_model()
        if not is_exportable(plain, model):
            return False
        try:
            export_query_graph(plain, model, folder)
        except RouteretError:
            raise
        except Exception as error:
            # Exporter, quantiser and runtime raise Exception itself and many others; a disk may be full, or read-only.
            raise ArtifactError(
                f"the graph of {self.folder} could not be made in {folder} ({type(error).__name__}: {error}); queries "
                f"are run by PyTorch as before; name a folder that can be written, {VARIABLE}=<folder>, or switch "
                f"graphs off, {VARIABLE}=off"
            ) from error
        return True

    def _graph_folder(self) -> Path | None:
        folder = graphs_folder()
        return None if folder is None else folder / graph_key(self.space)

    def _exported_folder(self) -> Path | None:
        """The folder of the graph; None where there is none yet."""
        folder = self._graph_folder()
        return folder if folder is not None and is_there(folder) else None

    def _opened_for_queries(self) -> QueryGraph | None:
        folder = self._exported_folder()
        if folder is None:
            return None
        return QueryGraph.open(
            folder,
            max_tokens=self._max_tokens,
            prompt=self._query_prompt,
            precision=self._query_precision,
            threads=self._threads,
            kept_queries=self._kept_queries,
        )

    def _opened_for_documents(self) -> DocumentGraph | None:
        folder = self._exported_folder()
        if folder is None or self._runtime == "torch" or self._precision == "float32":
            return None
        from routeret.encoders.graph.openvino_runtime import is_worthwhile

        if self._runtime == "auto" and not is_worthwhile():
            return None
        try:
            return DocumentGraph.open(
                folder, max_tokens=self._max_tokens, prompt=self._document_prompt, threads=self._threads
            )
        except ArtifactError:
            if self._runtime == "openvino":
                raise
            return None
