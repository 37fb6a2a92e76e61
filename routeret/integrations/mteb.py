"""A routed retriever as a model for MTEB's retrieval tasks; needs the extra ``mteb``."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from routeret.artifact import MANIFEST, sha256_of
from routeret.errors import InputError
from routeret.integrations.corpus_search import CorpusSearch
from routeret.optional import require
from routeret.types import Document, Run

if TYPE_CHECKING:
    from datasets import Dataset

_DIGITS = 16


class RoutedModel(CorpusSearch):
    """What ``mteb.evaluate`` takes as its model: MTEB's ``SearchProtocol``.

    MTEB hands over the corpus of a task first and its queries then. A corpus that is there already is not embedded
    again. Another one gets a new index where the model was made by :meth:`create`, and is an error where a retriever
    was given.
    """

    @property
    def mteb_model_meta(self) -> Any:  # noqa: ANN401 - MTEB's ModelMeta
        """Who is measured, for MTEB's own cache of results.

        The revision is a checksum of base, experts, router, chunker and this library's version, so that results of one
        pool are never taken for those of another.

        Raises:
            MissingExtraError: MTEB is not installed.
        """
        meta = require("mteb.models.model_meta", extra="mteb").ModelMeta
        index = self.retriever.index
        revision = f"{sha256_of(index.folder / MANIFEST)[:_DIGITS]}-{index.chunker.fingerprint[:_DIGITS]}"
        name = f"routeret/{self.retriever.info()['pack'] or 'retriever'}"
        fields = {"name": name, "revision": revision, "embed_dim": index.space.dim, "model_type": ["router"]}
        return meta.create_empty(overwrites=fields)

    def index(
        self,
        corpus: "Dataset",
        *,
        task_metadata: Any,  # noqa: ANN401, ARG002 - MTEB's
        hf_split: str,  # noqa: ARG002 - MTEB's
        hf_subset: str,  # noqa: ARG002 - MTEB's
        encode_kwargs: Mapping[str, Any],  # noqa: ARG002 - MTEB's
        num_proc: int | None = None,  # noqa: ARG002 - MTEB's
    ) -> None:
        """Take the corpus of a task.

        Args:
            corpus: the columns ``id`` and ``text``, and ``title`` if the documents have titles.
            task_metadata: passed by MTEB and without effect, as all that follow.
            hf_split: the split.
            hf_subset: the subset.
            encode_kwargs: for encoders.
            num_proc: for encoders.

        Raises:
            CorpusError: no document has a text.
            InputError: a retriever that was given holds other documents.
        """
        # One read of whole columns; row by row, they are read from disk again and again.
        columns = corpus[:]
        titles = columns.get("title") or [""] * len(columns["id"])
        self.hold(
            [
                Document(id=document_id, title=title or "", text=text or "")
                for document_id, title, text in zip(columns["id"], titles, columns["text"], strict=True)
            ]
        )

    def search(
        self,
        queries: "Dataset",
        *,
        task_metadata: Any,  # noqa: ANN401 - MTEB's
        hf_split: str,  # noqa: ARG002 - MTEB's
        hf_subset: str,  # noqa: ARG002 - MTEB's
        top_k: int,
        encode_kwargs: Mapping[str, Any],  # noqa: ARG002 - MTEB's
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        num_proc: int | None = None,  # noqa: ARG002 - MTEB's
    ) -> Run:
        """What is found for every query of a task.

        Args:
            queries: the columns ``id`` and ``text``, and ``instruction`` if the task has instructions. A conversation
                becomes one text, as MTEB writes it.
            task_metadata: names the task in messages.
            hf_split: passed by MTEB and without effect.
            hf_subset: the same.
            top_k: how many documents of every query; more than there are gives all of them.
            encode_kwargs: without effect.
            top_ranked: of reranking tasks only.
            num_proc: without effect.

        Returns:
            Scores by query and document id; higher is better.

        Raises:
            InputError: it is a reranking task, or a query is blank.
        """
        if top_ranked is not None:
            raise InputError(
                f"task {task_metadata.name!r} has documents to rerank; a retriever searches its whole index: take a "
                f"retrieval task"
            )
        columns = queries[:]
        instructions = columns.get("instruction") or [None] * len(columns["id"])
        texts = (_text(*pair) for pair in zip(columns["text"], instructions, strict=True))
        return self.run(dict(zip(columns["id"], texts, strict=True)), top_k)


def _text(query: str | Sequence[str | Mapping[str, str]], instruction: str | None) -> str:
    """A query as MTEB's own models read it: an instruction stands behind a text and before a conversation."""
    if isinstance(query, str):
        return f"{query} {instruction}" if instruction else query
    turns = (turn if isinstance(turn, str) else f"{turn['role']}: {turn['content']}" for turn in query)
    text = "; ".join(turns)
    return f"{instruction} {text}" if instruction else text
