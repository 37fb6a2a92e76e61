"""Hard negatives that a tower mines token by token: the tokens of few texts are held at once."""

import numpy as np
import pytest

from routeret.experts.tower import TowerQueries
from routeret.late_interaction import PooledTargets, soft_late_interaction
from routeret.mining import BipartiteGraph
from routeret.training import tower_negatives
from routeret.training.negatives import hard_negatives
from routeret.training.tower_negatives import mined_again
from routeret.training.tower_recipe import TowerRecipe, TowerTask

N_LEFT, N_RIGHT = 23, 9


class Watched:
    """A tower whose texts have as many random tokens as characters; it counts the texts that it is asked for."""

    query_prompt = document_prompt = ""

    def __init__(self):
        self.asked = []

    def tokens_of(self, text):
        return np.random.default_rng(list(text.encode())).normal(size=(len(text), 4)).astype(np.float32)

    def encode(self, texts, *, prompt):
        return np.stack([self.tokens_of(prompt + text).mean(axis=0) for text in texts])

    def queries(self, texts, *, interaction):
        self.asked.append(len(texts))
        tokens = None if interaction is None else tuple(self.tokens_of(text) for text in texts)
        return TowerQueries(self.encode(texts, prompt=""), tokens, interaction or 0.0)


@pytest.fixture
def graph():
    # Long and short texts in turn, of which no two are the same.
    left = {f"l{row}": chr(97 + row) * (1 + row * 5 % 7) for row in range(N_LEFT)}
    right = {f"r{row}": chr(65 + row) * (2 + row % 3) for row in range(N_RIGHT)}
    edges = np.array([[row, row * 4 % N_RIGHT] for row in range(N_LEFT)])
    return BipartiteGraph.from_edges("words", edges, left=left, right=right)


def mined(graph, recipe):
    tower = Watched()
    return mined_again(TowerTask(graph), tower, recipe).hard_negatives, tower.asked


def test_token_vectors_of_few_texts_are_held_at_once_and_every_text_gets_its_own_negatives(graph, monkeypatch):
    monkeypatch.setattr(tower_negatives, "_TOKENIZED_AT_ONCE", 5)
    recipe = TowerRecipe(n_hard_negatives=3, rounds=2, interaction=0.3)
    found, asked = mined(graph, recipe)
    assert asked == [5, 5, 5, 5, 3]
    tower = Watched()
    scores = soft_late_interaction(
        [tower.tokens_of(text) for text in graph.left_texts],
        PooledTargets.of(tower.encode(graph.right_texts, prompt="")),
        temperature=0.3,
    )
    positives = [graph.positives_of_left(row) for row in range(N_LEFT)]
    np.testing.assert_array_equal(found, hard_negatives(scores, positives, n=3, margin=recipe.margin).rows)
    assert len(np.unique(found[:, 0])) > 3


def test_vectors_are_asked_for_at_once_and_token_vectors_by_some_hundred(graph):
    assert mined(graph, TowerRecipe(n_hard_negatives=3, rounds=2))[1] == [N_LEFT]
    assert mined(graph, TowerRecipe(n_hard_negatives=3, rounds=2, interaction=0.3))[1] == [N_LEFT]
    assert 100 <= tower_negatives._TOKENIZED_AT_ONCE <= 1000
