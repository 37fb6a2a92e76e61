"""Queries that are documents of the corpus, as in ArguAna and Quora: a hit that is the query itself does not count."""

from collections.abc import Iterable, Mapping

from routeret.types import Document, Run


def is_itself(text: str, document: Document) -> bool:
    """Whether a query is the document that has its id; white space is left out of account.

    Ids may agree by chance, as where queries and documents are both numbered, so the text must agree too: with the
    document's text, with its title, or with both one after the other.

    Args:
        text: of the query.
        document: with the query's id.
    """
    forms = (document.text, document.title, f"{document.title} {document.text}")
    return text.split() in [form.split() for form in forms]


def without_self_hits(run: Run, texts: Mapping[str, str], corpus: Iterable[Document]) -> Run:
    """The run without hits that are the query itself; the corpus is read only where ids agree.

    Args:
        run: scores by query and document id.
        texts: text by query id.
        corpus: the documents.
    """
    agreeing = {query for query, hits in run.items() if query in hits and query in texts}
    if not agreeing:
        return run
    themselves = {one.id for one in corpus if one.id in agreeing and is_itself(texts[one.id], one)}
    return {
        query: {document: score for document, score in hits.items() if document != query}
        if query in themselves
        else hits
        for query, hits in run.items()
    }
