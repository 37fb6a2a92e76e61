"""In which precision the layers of a model compute while a training runs: seen inside the layers themselves."""

import math
from collections import defaultdict
from dataclasses import replace

import pytest
import torch
from letters import ANSWERS, ASKED, write_letters

from routeret.datasets import load_dataset
from routeret.encoders import TorchEncoder
from routeret.encoders.probes import PROBES
from routeret.mining import graph_of_qrels
from routeret.training import fitting, lora, tower_fit, train_expert
from routeret.training.lora import LoraRecipe
from routeret.training.moe import MoeDomain, train_moe
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.two_tower import train_two_tower

BFLOAT16, FLOAT32 = torch.bfloat16, torch.float32
RECIPE = TowerRecipe(checkpoints=(1, 2), learning_rate=1e-3, batch=8, max_tokens=12)
KINDS = ["lora", "moe", "tokens", "tower"]


@pytest.fixture(autouse=True)
def _hardware_with_bfloat16(monkeypatch):
    monkeypatch.setattr("routeret.encoders.torch._computes_in_bfloat16", lambda _: True)


def tasks_of(data):
    return [TowerTask(graph_of_qrels(load_dataset(data), "train"))]


def train(kind, base, folder):
    data = write_letters(folder / "letters")
    if kind == "lora":
        recipe = LoraRecipe(learning_rates=(1e-2,), checkpoints=(1, 2), rank=4, alpha=8.0, batch=8)
        train_expert("letters", [data], out=folder / "out", kind="lora", base=base, recipe=recipe, force=True)
    elif kind == "moe":
        others = write_letters(folder / "rivers", answers=[f"river {letter}" for letter in ANSWERS], shift=3)
        domains = [MoeDomain(one.name, tasks_of(one), [one]) for one in (data, others)]
        train_moe(domains, out=folder / "out", base=base, recipe=RECIPE, force=True)
    else:
        recipe = replace(RECIPE, interaction=0.1 if kind == "tokens" else None)
        train_two_tower("letters", tasks_of(data), [data], out=folder / "out", base=base, recipe=recipe, force=True)


@pytest.fixture
def seen(monkeypatch):
    """What linear layers computed in, by whether gradients were on and by what the texts were."""
    found, texts = defaultdict(set), []
    transformed = TorchEncoder._transformed

    def watched(encoder, model, batch, **settings):
        # Probes are read in both precisions.
        texts[:] = [] if set(batch) & set(PROBES) else ["queries" if set(batch) <= set(ASKED) else "documents"]
        return transformed(encoder, model, batch, **settings)

    def note(module, _, output):
        if isinstance(module, torch.nn.Linear) and texts:
            found["training" if torch.is_grad_enabled() else "encoding", texts[0]].add(output.dtype)

    monkeypatch.setattr(TorchEncoder, "_transformed", watched)
    hook = torch.nn.modules.module.register_module_forward_hook(note)
    yield found
    hook.remove()


@pytest.fixture
def steps(monkeypatch):
    """The loss of every step, and the precisions of the weights that the steps change."""
    losses, weights = [], set()

    def watched(parameters, loss, **settings):
        weights.update(parameter.dtype for parameter in parameters.values())

        def noted(step):
            value = loss(step)
            losses.append((value.item(), value.dtype))
            return value

        return fitting.fit_tower(parameters, noted, **settings)

    for module in (lora, tower_fit):
        monkeypatch.setattr(module, "fit_tower", watched)
    return losses, weights


@pytest.mark.parametrize("kind", KINDS)
def test_layers_compute_in_bfloat16_and_everything_else_in_float32(kind, tiny_models, tmp_path, seen, steps):
    base = TorchEncoder(tiny_models.write(tmp_path / "base"), device="cpu")
    train(kind, base, tmp_path)
    expected = {
        ("training", "queries"): {BFLOAT16},
        ("training", "documents"): {BFLOAT16},
        ("encoding", "documents"): {BFLOAT16},
        # Queries are compared in float32, by an index and on dev.
        ("encoding", "queries"): {FLOAT32},
    }
    if kind == "lora":
        del expected["training", "documents"]
    assert dict(seen) == expected
    losses, weights = steps
    assert weights == {FLOAT32}
    assert len(losses) == 2
    assert all(math.isfinite(value) and dtype == FLOAT32 for value, dtype in losses)


@pytest.mark.parametrize("kind", ["lora", "tower", "tokens", "moe"])
def test_a_base_in_float32_is_trained_in_float32(kind, tiny_models, tmp_path, seen):
    base = TorchEncoder(tiny_models.write(tmp_path / "base"), device="cpu", precision="float32")
    train(kind, base, tmp_path)
    assert seen["training", "queries"] == seen["encoding", "queries"] == {FLOAT32}
    assert seen["training", "documents"] == (set() if kind == "lora" else {FLOAT32})
