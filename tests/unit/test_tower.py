"""A tower while its weights change: what it writes when they are no use any more."""

import numpy as np
import pytest
import torch
from letters import write_letters

from routeret.datasets import load_dataset
from routeret.encoders import TorchEncoder
from routeret.errors import TrainingDivergedError
from routeret.mining import graph_of_qrels
from routeret.training.tower import Tower
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.two_tower import train_two_tower


@pytest.fixture(scope="module")
def base(tiny_models, tmp_path_factory):
    return TorchEncoder(tiny_models.write(tmp_path_factory.mktemp("base") / "tiny"), device="cpu", precision="float32")


def test_vectors_that_are_not_finite_are_an_error_that_names_a_text(base):
    tower = Tower(base)
    words = ["river", "tax"]
    np.testing.assert_allclose(tower.encode(words), base.encode_queries(words), atol=1e-6)
    embeddings = dict(tower.model.named_parameters())["0.model.embeddings.word_embeddings.weight"]
    (_, letter, _) = tower.model.tokenizer("tax")["input_ids"]
    with torch.no_grad():
        embeddings[letter] = torch.nan
    np.testing.assert_allclose(tower.encode(["river"]), base.encode_queries(["river"]), atol=1e-6)
    with pytest.raises(
        TrainingDivergedError, match=r"vectors of 1 of 2 texts, the first of them 'tax', are not finite"
    ):
        tower.encode(words)


def test_weights_that_are_no_use_become_no_expert_even_when_forced(base, tmp_path):
    data = write_letters(tmp_path / "letters")
    recipe = TowerRecipe(checkpoints=(1, 2), learning_rate=1e20, batch=8)
    tasks = [TowerTask(graph_of_qrels(load_dataset(data), "train"))]
    message = r"after step 0 the vectors of 8 of 8 texts.*the batch is 8 pairs of task 'letters_train'.*No checkpoint"
    with pytest.raises(TrainingDivergedError, match=message):
        train_two_tower("letters", tasks, [data], out=tmp_path / "out", base=base, recipe=recipe, force=True)
    assert not (tmp_path / "out").exists()
