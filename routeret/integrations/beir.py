"""A routed retriever as a model for BEIR's own evaluation.

BEIR asks a model for one method, so nothing of BEIR is imported here. The extra ``beir`` installs its evaluation.
"""

from collections.abc import Mapping

from routeret.integrations.corpus_search import CorpusSearch
from routeret.types import Document, Run


class RoutedModel(CorpusSearch):
    """What ``beir.retrieval.evaluation.EvaluateRetrieval`` takes as its retriever.

    ``EvaluateRetrieval(model).retrieve(corpus, queries)`` embeds the corpus at the first call. A later call with the
    same corpus embeds nothing. One with another corpus gets a new index where the model was made by :meth:`create`, and
    is an error where a retriever was given.
    """

    def search(
        self,
        corpus: Mapping[str, Mapping[str, str]],
        queries: Mapping[str, str],
        top_k: int,
        score_function: str | None = None,  # noqa: ARG002 - BEIR's; the space of the base decides
    ) -> Run:
        """What is found for every query, as BEIR's own models give it: without the query itself.

        Args:
            corpus: ``title``, which may be missing, and ``text`` by document id.
            queries: text by query id.
            top_k: how many documents of every query; more than there are gives all of them.
            score_function: passed by BEIR and without effect, since the base's own space says how vectors are compared.

        Returns:
            Scores by query and document id; higher is better. A hit whose document id equals the query id is left out.

        Raises:
            InputError: a query is blank, or a retriever that was given holds other documents.
            CorpusError: no document has a text.
        """
        self.hold(
            [
                Document(id=document_id, title=fields.get("title") or "", text=fields.get("text") or "")
                for document_id, fields in corpus.items()
            ]
        )
        return self.run(queries, top_k, drop_self_hits=True)
