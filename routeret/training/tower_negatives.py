"""Hard negatives of a task: right texts that look like answers of a left text, to encoders, to BM25, to the tower."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from routeret.late_interaction import PooledTargets, soft_late_interaction
from routeret.mining import BipartiteGraph
from routeret.protocols import Encoder
from routeret.training.negatives import MARGIN, HardNegatives, merged, mine, mine_by_words, mine_scored
from routeret.training.tower import Tower
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.types import Document, FloatArray, IntArray

_TOKENIZED_AT_ONCE = 256
"""Texts whose token vectors are held together: 25 MB for 64 tokens of 384 numbers each."""


def with_hard_negatives(
    task: TowerTask,
    encoders: Sequence[Encoder],
    *,
    n: int,
    lexical: bool = True,
    margin: float = MARGIN,
) -> TowerTask:
    """Mine hard negatives for every left text, from each encoder and from BM25 in turn.

    What belongs to a left text is never taken, nor the text itself where both sides hold it, nor what scores nearly as
    high as what belongs to it: that is likely to belong to it too.

    Args:
        task: what is trained on.
        encoders: the base, and any others.
        n: negatives a left text, at least 1.
        lexical: take some from BM25 over the right texts, too.
        margin: how far below the scores of what belongs to a text a negative stays; see
            :func:`~routeret.training.negatives.hard_negatives`.

    Returns:
        The same task with ``hard_negatives``.

    Raises:
        InputError: there is neither an encoder nor BM25, or ``n`` or ``margin`` is out of its range.
    """
    graph = task.graph
    positives, itself = _known(graph)
    documents = [Document(id=str(row), text=text) for row, text in enumerate(graph.right_texts)]
    sources = []
    for encoder in encoders:
        left = encoder.encode_queries(list(graph.left_texts))
        right = encoder.encode_documents(documents)
        sources.append(mine(left, right.vectors, positives, n=n, margin=margin, excluded=itself))
    if lexical:
        sources.append(
            mine_by_words(graph.left_texts, graph.right_texts, positives, n=n, margin=margin, excluded=itself)
        )
    return replace(task, hard_negatives=merged(sources, n=n).rows)


def prepared(tasks: Sequence[TowerTask], base: Encoder, recipe: TowerRecipe) -> list[TowerTask]:
    """The tasks with the hard negatives that a recipe asks for, from the base and BM25, where they bring none."""
    n = recipe.n_hard_negatives
    return [
        task
        if n == 0 or task.hard_negatives is not None
        else with_hard_negatives(task, [base], n=n, margin=recipe.margin)
        for task in tasks
    ]


def mined_again(task: TowerTask, tower: Tower, recipe: TowerRecipe) -> TowerTask:
    """The task with hard negatives of a further round: those that a trained tower finds, and the former ones, in turn.

    The tower mines by the scores that it is trained with, by soft late interaction where the recipe asks for it.

    Args:
        task: with the hard negatives of the round before, if there are any.
        tower: as it was trained in that round.
        recipe: says how many, and how far they stay below what belongs to a text.
    """
    graph, own = task.graph, tower if task.domain is None else tower.in_domain(task.domain)
    positives, itself = _known(graph)
    documents = own.encode(graph.right_texts, prompt=own.document_prompt)
    targets = PooledTargets.of(documents)

    def score(texts: Sequence[str]) -> FloatArray:
        asked = own.queries(texts, interaction=recipe.interaction)
        if asked.tokens is None:
            return asked.vectors @ documents.T
        return soft_late_interaction(asked.tokens, targets, temperature=asked.temperature)

    def score_part(part: slice) -> FloatArray:
        texts = graph.left_texts[part]
        return score(texts) if recipe.interaction is None else _in_blocks(score, texts)

    found = mine_scored(
        score_part,
        positives,
        n_documents=len(documents),
        n=recipe.n_hard_negatives,
        margin=recipe.margin,
        excluded=itself,
    )
    sources = [found]
    if task.hard_negatives is not None:
        sources.append(HardNegatives(task.hard_negatives, np.zeros(len(positives), dtype=np.int64)))
    return replace(task, hard_negatives=merged(sources, n=recipe.n_hard_negatives).rows)


def _in_blocks(score: Callable[[Sequence[str]], FloatArray], texts: Sequence[str]) -> FloatArray:
    """What gives scores of texts, float32, shape (n_texts, n_documents), asked for few texts at once.

    Texts of like length go together, so that the passes of a model are those of all texts at once.
    """
    order = np.argsort([len(text) for text in texts], kind="stable")
    blocks = [order[start : start + _TOKENIZED_AT_ONCE] for start in range(0, len(order), _TOKENIZED_AT_ONCE)]
    scores = np.concatenate([score([texts[row] for row in rows]) for rows in blocks])
    return scores[np.argsort(order)]


def _known(graph: BipartiteGraph) -> tuple[list[IntArray], list[IntArray]]:
    """Of every left text the rows on the right that belong to it, and the row that is the text itself."""
    positives = [graph.positives_of_left(row) for row in range(len(graph.left_ids))]
    return positives, [row[row >= 0] for row in graph.itself_on_right[:, None]]
