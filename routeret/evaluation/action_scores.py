"""nDCG@10 of every action on the queries of a block, quick enough for hundreds of actions."""

from collections.abc import Sequence

import numpy as np

from routeret.evaluation.actions import Action, routing_of, with_lexical
from routeret.evaluation.judged_documents import DEPTH, JudgedDocuments
from routeret.fusion import weighted_lexical
from routeret.retriever.ranking import NONE, dense_ranking
from routeret.retriever.searching import Block, Searcher
from routeret.types import FloatArray, IntArray

WITHOUT_LEXICAL = (0.0,)
"""The weights of the lexical score of one who does not use it."""

_CANDIDATES = 100
"""How many documents of every action, and of BM25, may come to the top where both are added up."""


def scores_of_actions(
    searcher: Searcher,
    block: Block,
    actions: Sequence[Action],
    *,
    judged: JudgedDocuments,
    lexical: Sequence[float] = WITHOUT_LEXICAL,
) -> FloatArray:
    """nDCG@10 of every query with every action at every weight of the lexical score.

    With several weights the best 100 documents of all actions and of BM25 are the candidates of a query, and each gets
    its score by every action and weight at once. That cannot be done for experts with documents of their own, nor
    where documents are cut into spans: there every action is searched for itself, as by :func:`searched_scores`.

    Args:
        searcher: with the pool of the actions.
        block: the queries.
        actions: without lexical weights, at least one.
        judged: the relevant documents of these queries.
        lexical: the weights, at least one.

    Returns:
        float32, shape (n_queries, n_actions, n_weights).
    """
    towers = searcher.pool.tower_by_name
    at_once = len(lexical) > 1 and block.scope.has_one_span_a_document
    added = [number for number, action in enumerate(actions) if at_once and action.expert not in towers]
    searched = [number for number in range(len(actions)) if number not in added]
    found = np.zeros((len(block), len(actions), len(lexical)), dtype=np.float32)
    if added:
        some = [actions[number] for number in added]
        found[:, added] = _added_scores(searcher, block, some, judged=judged, lexical=lexical)
    if searched:
        some = list(with_lexical([actions[number] for number in searched], lexical))
        values = searched_scores(searcher, block, some, judged=judged)
        found[:, searched] = values.reshape(len(block), len(searched), len(lexical))
    return found


def searched_scores(
    searcher: Searcher, block: Block, actions: Sequence[Action], *, judged: JudgedDocuments
) -> FloatArray:
    """nDCG@10 of every query with every action, each searched as a retriever does.

    Args:
        searcher: with the pool of the actions.
        block: the queries.
        actions: with their lexical weights, at least one.
        judged: the relevant documents of these queries.

    Returns:
        float32, shape (n_queries, n_actions).
    """
    columns = []
    for action in actions:
        routing = routing_of([action] * len(block), searcher.pool.names)
        # One more than counts, in case that the query itself is among them.
        columns.append(judged.ndcg(searcher.rank(block, routing, DEPTH + 1).documents))
    return np.stack(columns, axis=1)


def _added_scores(
    searcher: Searcher,
    block: Block,
    actions: Sequence[Action],
    *,
    judged: JudgedDocuments,
    lexical: Sequence[float],
) -> FloatArray:
    """The same for experts in the base's space, over documents of one span each, query by query."""
    scope, space = block.scope, block.scope.index.space
    arrays = [
        searcher.query_vectors(block.batch, routing_of([action] * len(block), searcher.pool.names))
        for action in actions
    ]
    found_by_vectors = np.concatenate(
        [dense_ranking(scope, vectors, _CANDIDATES, space=space).documents for vectors in arrays], axis=1
    )
    vectors_by_query = np.stack(arrays, axis=1)
    weights = np.asarray(lexical, dtype=np.float32)
    scores = np.zeros((len(block), len(actions), len(weights)), dtype=np.float32)
    for query, vectors in enumerate(vectors_by_query):
        matches = block.lexical.matching(query, _CANDIDATES)
        documents = np.union1d(found_by_vectors[query], matches.numbers)
        documents = documents[(documents != NONE) & (documents != judged.themselves[query])]
        best = matches.scores[0] if len(matches) else 0.0
        by_words = _weighted(block, query, documents, weights=weights, best=float(best))
        by_vectors = vectors @ scope.index.vectors(scope.index.rows_of(documents)[0], space=space).T
        added = (by_vectors[:, None, :] + by_words[None]).reshape(-1, len(documents))
        scores[query] = judged.ndcg_of_scores(query, documents, added).reshape(scores.shape[1:])
    return scores


def _weighted(block: Block, query: int, documents: IntArray, *, weights: FloatArray, best: float) -> FloatArray:
    """The lexical part of the scores of some documents at every weight, shape (n_weights, n_documents)."""
    scores = block.scope.index.fulltext.scores_of(block.batch.texts[query], documents)
    bests = np.full(len(weights), best, dtype=np.float32)
    return weighted_lexical(np.tile(scores, (len(weights), 1)), weights=weights, best=bests)
