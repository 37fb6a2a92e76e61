"""The exported graph of a base, run for documents."""

from collections.abc import Sequence
from pathlib import Path

from routeret.artifact import read_manifest
from routeret.encoders.graph.onnx_runtime import OnnxRuntime
from routeret.encoders.graph.openvino_runtime import OpenvinoRuntime
from routeret.encoders.graph.runtime import Runtime
from routeret.encoders.graph.store import FORMAT, KIND, TOKENIZER, graph_file
from routeret.encoders.graph.text_passes import GraphFacts, vectors_of
from routeret.encoders.graph.tokens import Tokens
from routeret.encoders.probes import LEAST_COSINE, PROBES, cosines_of
from routeret.errors import ArtifactError, MissingExtraError
from routeret.types import BoolArray, FloatArray


class DocumentGraph:
    """An opened graph that several threads may run."""

    def __init__(self, runtime: Runtime, tokens: Tokens, facts: GraphFacts) -> None:
        """Keep what :meth:`open` has read.

        Args:
            runtime: computes.
            tokens: reads texts.
            facts: of the graph.
        """
        self._runtime = runtime
        self._tokens = tokens
        self._facts = facts

    @classmethod
    def open(cls, folder: Path, *, max_tokens: int, prompt: str, threads: int | None) -> "DocumentGraph":
        """The graph of a folder, run by OpenVINO, once its vectors were found to be those of the space.

        Args:
            folder: :func:`~routeret.encoders.graph.exporting.export_query_graph` wrote it.
            max_tokens: longer texts are cut.
            prompt: put before every text.
            threads: how many passes run at once; None takes as many as there are cores.

        Raises:
            ArtifactError: the folder is damaged, or the vectors differ from the graph's in float32.
            MissingExtraError: OpenVINO is not installed.
        """
        facts = GraphFacts.of(read_manifest(folder, kind=KIND, format_number=FORMAT, verify=False))
        file = graph_file(folder, "float32")
        try:
            runtime = OpenvinoRuntime(file, facts, max_tokens=max_tokens, threads=threads)
            tokens = Tokens((folder / TOKENIZER).read_text(encoding="utf-8"), max_tokens=max_tokens, prompt=prompt)
            probes = tokens.read(PROBES)
            exact = vectors_of(probes, OnnxRuntime(file, facts.layers), facts)
            least = float(cosines_of(vectors_of(probes, runtime, facts), exact).min())
        except (MissingExtraError, MemoryError):
            raise
        except Exception as error:
            # Tokenizers and both runtimes raise Exception itself for a file that they cannot read.
            raise ArtifactError(
                f"{folder} cannot be run by OpenVINO: {error}; remove the folder, preparing writes it again"
            ) from error
        # Vectors that are not finite have a cosine that compares with nothing.
        if not least >= LEAST_COSINE["bfloat16"]:
            raise ArtifactError(
                f"OpenVINO writes vectors of a cosine of {least:.5f} to the exact ones of {folder}, expected at least "
                f"{LEAST_COSINE['bfloat16']}; use PyTorch, runtime='torch'"
            )
        return cls(runtime, tokens, facts)

    def vectors(self, texts: Sequence[str]) -> tuple[FloatArray, BoolArray, int]:
        """Vectors of documents, float32, shape (n_texts, dim), in their order.

        Args:
            texts: of the documents, without the prompt.

        Returns:
            The vectors, bool, shape (n_texts,): whether the limit cut each text, and how many tokens all have within
            it.
        """
        token_lists, is_cut = self._tokens.read_and_tell_cut(texts)
        n_tokens = sum(len(ids) for ids in token_lists)
        return vectors_of(token_lists, self._runtime, self._facts), is_cut, n_tokens
