"""Every kind of training on a device: interrupted, gone on with, and answering alike on that device and on the CPU."""

import numpy as np
import pytest
import torch
from letters import ANSWERS, ASKED, without_dropout, write_letters

from routeret.datasets import load_dataset
from routeret.encoders import TorchEncoder
from routeret.experts import TowerExpert, load_expert
from routeret.mining import graph_of_qrels
from routeret.retriever import Retriever
from routeret.training import fitting, train_expert
from routeret.training.lora import LoraRecipe
from routeret.training.moe import MoeDomain, train_moe
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.two_tower import train_two_tower
from routeret.types import Document, QueryBatch

CUDA = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=CUDA)]
DOCUMENTS = [Document(id=letter, text=letter) for letter in ANSWERS]
STOPPED_AT = 7
RECIPE = TowerRecipe(checkpoints=(5, 80), learning_rate=2e-3, batch=8, max_tokens=12)


def tasks_of(data):
    return [TowerTask(graph_of_qrels(load_dataset(data), "train"))]


def train_linear(folder, data, base):
    train_expert("letters", [data], out=folder / "out", base=base, force=True)
    return folder / "out"


def train_lora(folder, data, base):
    recipe = LoraRecipe(learning_rates=(3e-2,), checkpoints=(5, 60), rank=4, alpha=8.0, batch=8)
    train_expert("letters", [data], out=folder / "out", kind="lora", base=base, recipe=recipe, force=True)
    return folder / "out"


def train_tower(folder, data, base):
    train_two_tower("letters", tasks_of(data), [data], out=folder / "out", base=base, recipe=RECIPE, force=True)
    return folder / "out"


def train_mixture(folder, data, base):
    others = folder / "rivers"
    if not others.exists():
        write_letters(others, answers=[f"river {letter}" for letter in ANSWERS], shift=3)
    domains = [MoeDomain(one.name, tasks_of(one), [one]) for one in (data, others)]
    train_moe(domains, out=folder / "out", base=base, recipe=RECIPE, force=True)
    return folder / "out" / "experts" / "letters"


TRAININGS = {
    "linear": (train_linear, 0),
    "lora": (train_lora, 60),
    "moe": (train_mixture, 80),
    "tower": (train_tower, 80),
}
"""What trains, and in how many steps of a fit that can be interrupted."""


@pytest.fixture
def steps(monkeypatch):
    """The steps that were begun; the one of a number is interrupted when it comes for the first time."""
    begun, seed_of = [], fitting._step_seed

    def interrupted(seed, step):
        begun.append(step)
        if step == STOPPED_AT and begun.count(step) == 1:
            raise KeyboardInterrupt
        return seed_of(seed, step)

    monkeypatch.setattr(fitting, "_step_seed", interrupted)
    return begun


def vectors_of(expert, base):
    """What an expert writes for the queries, and its vectors of the documents."""
    if isinstance(expert, TowerExpert):
        return expert.encode_queries(ASKED).vectors, expert.encoder.encode_documents(DOCUMENTS).vectors
    asked = QueryBatch(tuple(ASKED), base.encode_queries(ASKED))
    written = expert.encode_queries(asked, strengths=np.ones(len(ASKED), dtype=np.float32))
    return written, base.encode_documents(DOCUMENTS).vectors


@pytest.fixture(params=DEVICES)
def device(request, monkeypatch):
    """A device; on a processor all is computed in float32, which takes small models less time."""
    if request.param == "cpu":
        monkeypatch.setattr("routeret.encoders.torch._computes_in_bfloat16", lambda _: False)
    return request.param


@pytest.mark.parametrize("kind", sorted(TRAININGS))
def test_a_training_goes_on_and_its_expert_answers_alike_on_the_cpu(kind, device, tiny_models, tmp_path, steps):
    train, n_steps = TRAININGS[kind]
    folder = without_dropout(tiny_models.write(tmp_path / "base"))
    data = write_letters(tmp_path / "letters")
    base = TorchEncoder(folder, device=device)
    if n_steps:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, data, base)
        (state,) = tmp_path.glob(".*.training")
        assert state.exists()
    out = train(tmp_path, data, base)
    # The state holds what the checkpoint after five steps left; nothing before it is trained again.
    assert steps == ([*range(STOPPED_AT + 1), *range(5, n_steps)] if n_steps else [])
    assert list(tmp_path.glob(".*")) == []

    on_cpu = TorchEncoder(folder, device="cpu")
    (asked, documents), (asked_there, documents_there) = (
        vectors_of(load_expert(out, base=one), one) for one in (on_cpu, base)
    )
    # Vectors of length 1: queries in float32 on both, documents perhaps in bfloat16, which has 8 bits.
    np.testing.assert_allclose(asked, asked_there, atol=1e-3)
    np.testing.assert_allclose((documents * documents_there).sum(axis=1), 1, atol=2e-2)
    found = (asked @ documents.T).argmax(axis=1)
    assert (found == np.arange(len(ASKED))).mean() > 0.7
    with Retriever.create(tmp_path / "kb", base=on_cpu) as kb:
        kb.add(DOCUMENTS)
        kb.add_expert(out)
        hits = [kb.search(letter, 1, expert="letters")[0].text for letter in ASKED]
    assert np.mean([hit == answer for hit, answer in zip(hits, ANSWERS, strict=True)]) > 0.7
