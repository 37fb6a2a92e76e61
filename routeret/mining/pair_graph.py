"""The graph of mined pairs over one corpus."""

from pathlib import Path

import numpy as np

from routeret.corpus import Corpus
from routeret.errors import CorpusError
from routeret.mining.edges import read_edges
from routeret.mining.entities import once_each, text_of
from routeret.mining.graph import BipartiteGraph


def graph_of_pairs(pairs: Path | str, corpus: Corpus | Path | str, *, name: str | None = None) -> BipartiteGraph:
    """The graph of documents that belong together, the same documents on both sides.

    Every pair is there in both directions. A document without a pair is left out.

    Args:
        pairs: JSON lines ``{"a": id, "b": id, "count": n}``, as :func:`mine_cocitations` writes them; the count, which
            may be absent, becomes the weight.
        corpus: holds the documents; title and text are the text of an entity.
        name: what the graph is called; by default the name of the file.

    Raises:
        CorpusError: the file cannot be read or has no pair, or names a document that the corpus does not hold, or one
            with itself; file and line are named.
        DuplicateIdError: a document's id comes twice in the corpus.
    """
    pairs, corpus = Path(pairs), Corpus.of(corpus)
    text_by_id = {document.id: text_of(document) for document, _ in once_each(corpus)}
    row_by_id = {document_id: row for row, document_id in enumerate(text_by_id)}
    edges, weights = [], []
    for edge in read_edges(pairs, columns=("a", "b"), weight="count"):
        unknown = [one for one in (edge.first, edge.second) if one not in row_by_id]
        if unknown:
            raise CorpusError(
                f"{edge.place} names document {unknown[0]!r}, which corpus {corpus.name!r} does not hold; mine the "
                f"pairs with this corpus, or give the corpus that they were mined with"
            )
        if edge.first == edge.second:
            raise CorpusError(f"{edge.place} pairs document {edge.first!r} with itself; remove the line")
        both = row_by_id[edge.first], row_by_id[edge.second]
        edges += [both, both[::-1]]
        weights += [edge.weight] * 2
    return BipartiteGraph.from_edges(
        name if name is not None else pairs.name.split(".")[0],
        np.array(edges, dtype=np.int64),
        left=text_by_id,
        right=text_by_id,
        weights=np.array(weights, dtype=np.float32),
    )
