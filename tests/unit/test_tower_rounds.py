"""What goes on inside the training of a tower: pairs of free length, further rounds, losses that are no number."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from letters import ANSWERS, ASKED, without_dropout, write_letters

from routeret.datasets import load_dataset
from routeret.encoders import TorchEncoder
from routeret.errors import ArtifactError, ExpertNotHelpfulError, InputError, TrainingDivergedError
from routeret.experts import load_expert
from routeret.experts.tower import TowerQueries
from routeret.mining import BipartiteGraph, graph_of_qrels
from routeret.training import tower_fit, tower_report
from routeret.training.fitting import Batches, DevScore, FitState, Fitted
from routeret.training.losses import mnr_plus, symmetric
from routeret.training.tower import Tower
from routeret.training.tower_fit import fit_to_tasks
from routeret.training.tower_negatives import mined_again
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.tower_rounds import begun, joined, remove_states, state_of_round
from routeret.training.two_tower import train_two_tower

RECIPE = TowerRecipe(checkpoints=(10, 160), learning_rate=2e-3, batch=8, max_tokens=12)


@pytest.fixture(scope="module")
def base(tiny_models, tmp_path_factory):
    folder = without_dropout(tiny_models.write(tmp_path_factory.mktemp("base") / "tiny"))
    return TorchEncoder(folder, device="cpu", precision="float32")


@pytest.fixture
def data(tmp_path):
    return write_letters(tmp_path / "words")


def tasks_of(data):
    return [TowerTask(graph_of_qrels(load_dataset(data), "train"))]


NAN_AT = 3


def nan_from(monkeypatch, step):
    """Make the losses NaN from a step on, counted from 0."""
    whole, calls = tower_fit.symmetric, []

    def broken(*found, **how):
        calls.append(1)
        return whole(*found, **how) * (float("nan") if len(calls) > step else 1.0)

    monkeypatch.setattr(tower_fit, "symmetric", broken)
    return calls


def test_what_was_good_before_a_loss_that_is_no_number_becomes_an_expert_by_force(base, data, tmp_path, monkeypatch):
    calls = nan_from(monkeypatch, NAN_AT)
    recipe = replace(RECIPE, checkpoints=(2, 6))

    def train(**settings):
        return train_two_tower(
            "words", tasks_of(data), [data], out=tmp_path / "out", base=base, recipe=recipe, **settings
        )

    with pytest.raises(TrainingDivergedError, match=r"step 3 is nan.*8 pairs of task 'words_train'.*--force"):
        train()
    report = train(force=True)
    assert (report.steps, set(report.history)) == (2, {2})
    assert report.diverged.startswith("the loss of step 3 is nan")
    assert report.diverged.endswith(
        f". The best checkpoint before it, after 2 steps in all, scored {report.history[2]:.4f} on dev, and was taken"
    )
    # Steps 0 to 2 were trained once; the fourth was tried twice at most.
    assert NAN_AT + 1 <= len(calls) <= NAN_AT + 2
    assert load_expert(tmp_path / "out").details["scores"]["diverged"] == report.diverged
    assert not list(tmp_path.glob(".out*"))


class Fake:
    """A tower whose texts are numbers or words with known vectors of any length."""

    query_prompt = document_prompt = ""

    def __init__(self, vectors):
        self._vectors = vectors

    def encode(self, texts, *, prompt):
        return np.array([self._vectors[prompt + text] for text in texts], dtype=np.float32)

    def queries(self, texts, *, interaction):
        tokens = None if interaction is None else tuple(self.encode(texts, prompt="")[:, None])
        return TowerQueries(self.encode(texts, prompt=""), tokens, interaction or 0.0)

    def tokens(self, texts, *, prompt):
        # Every text has two tokens, whose mean is its vector, and padding.
        vectors = torch.from_numpy(self.encode(texts, prompt=prompt))[:, None]
        tokens = torch.cat([vectors - 1, vectors + 1, torch.full_like(vectors, 99)], dim=1)
        return tokens, torch.tensor([[True, True, False]]).expand(len(texts), 3)


def test_mnr_plus_ranks_by_vectors_of_free_length():
    # One dimension: vectors 1 and 2 on both sides. The first pair is most like the second.
    graph = BipartiteGraph.from_edges(
        "g", np.array([[0, 0], [1, 1]]), left={"a": "one", "b": "two"}, right={"c": "ONE", "d": "TWO"}
    )
    tower = Fake({"one": [1], "two": [2], "ONE": [1], "TWO": [2]})
    source = tower_fit._Source(TowerTask(graph), TowerRecipe(objective="mnr_plus", batch=2), seed=0)
    first, second = np.log(np.e + np.e**2) - 2, np.log(np.e**2 + np.e**4) - 4
    assert source.loss(tower, 0).item() == pytest.approx((first + second) / 2)
    # Were each pair its own target, as symmetric has it, the first would cost one more.
    vectors = torch.tensor([[1.0], [2.0]])
    plain = symmetric(vectors @ vectors.T, torch.eye(2, dtype=torch.bool), against="all").item()
    assert plain == pytest.approx((first + 1 + second) / 2)
    assert TowerTask(graph).temperature_for("mnr_plus") == 1
    assert TowerTask(graph).temperature_for("symmetric") == 0.05


def test_mnr_plus_takes_a_models_pooled_vectors_before_they_get_length_one(base, data):
    (task,) = tasks_of(data)
    tower = Tower(base)
    source = tower_fit._Source(task, TowerRecipe(objective="mnr_plus", batch=8), seed=0)
    edges = task.graph.edges[Batches(8, 8, seed=0).rows(0)]
    with tower.judging(), torch.no_grad():
        found = source.loss(tower, 0).item()
    sides = [[texts[row] for row in rows] for texts, rows in zip((ASKED, ANSWERS), edges.T, strict=True)]
    left, right = (np.stack([one.mean(axis=0) for one in base.encode_query_tokens(texts)]) for texts in sides)
    assert np.linalg.norm(left, axis=1).max() > 1.5
    assert found == pytest.approx(mnr_plus(torch.from_numpy(left), torch.from_numpy(right)).item(), rel=2e-2)


def test_in_a_batch_of_pairs_a_text_is_no_negative_of_itself_nor_a_drawn_pair_one():
    edges = np.array([[0, 1], [1, 0], [0, 2]])
    itself = np.array([0, 1, 2])
    # Lefts 0, 1, 0 against rights 1, 0, 2: 0 and 1 are themselves at places of other pairs, 0 was drawn with 2 and 1.
    assert tower_fit._no_negatives(itself, edges).tolist() == [
        [False, True, True],
        [True, False, False],
        [True, True, False],
    ]


def three_pairs(negatives):
    graph = BipartiteGraph.from_edges(
        "g",
        np.array([[0, 0], [1, 1], [2, 2]]),
        left=dict(zip("abc", ASKED, strict=False)),
        right=dict(zip("def", ANSWERS, strict=False)),
    )
    return TowerTask(graph, hard_negatives=np.array(negatives))


@pytest.mark.parametrize("interaction", [None, 0.1])
def test_a_further_round_takes_turns_between_what_the_tower_finds_and_the_former_negatives(interaction):
    a, b, c, s, t, u = [*ASKED[:3], *ANSWERS[:3]]
    # To the tower u is next to a after its answer s, s next to b, and t as good as the answer u of c: too close.
    tower = Fake({a: [1, 0], b: [0, 1], c: [-1, 0], s: [1, 0], t: [-1, 1], u: [-0.9, 0]})
    former = three_pairs([[1, -1], [2, -1], [0, -1]])
    recipe = TowerRecipe(n_hard_negatives=2, rounds=2, interaction=interaction)
    found = mined_again(former, tower, recipe).hard_negatives.tolist()
    if interaction is None:
        # Inner products: a with t -1, with u -0.9; b with s 0, with u 0; c with s -1, with t 1 above u's 0.9.
        assert found == [[2, 1], [0, 2], [0, -1]]
    else:
        # Cosines: a with t -0.7, with u -1; b with s 0, with u 0; c with s -1, with t 0.7 below u's 1.
        assert found == [[1, 2], [0, 2], [1, 0]]
    assert mined_again(former, tower, replace(recipe, n_hard_negatives=1)).hard_negatives[1].tolist() == [0]
    bare = replace(former, hard_negatives=None)
    assert mined_again(bare, tower, replace(recipe, n_hard_negatives=1)).hard_negatives[1].tolist() == [0]
    with pytest.raises(InputError, match="'g' has no hard negatives, from which 2 rounds go on"):
        fit_to_tasks(tower, [former, bare], judge=None, recipe=recipe)


# Batches hold half of the texts, so hard negatives bring others.
ROUNDS = replace(RECIPE, checkpoints=(4, 12), batch=4, n_hard_negatives=1, rounds=2)


def test_a_second_round_mines_from_the_trained_expert_and_goes_on_from_its_best_checkpoint(
    base, data, tmp_path, monkeypatch
):
    recipe = replace(ROUNDS, checkpoints=(4, 24))
    whole, seen = tower_fit._fit_round, []

    def watched(tower, tasks, **settings):
        begun = {name: one.detach().numpy().copy() for name, one in tower.parameters().items()}
        seen.append((tasks[0].hard_negatives, begun, whole(tower, tasks, **settings)))
        return seen[-1][2]

    monkeypatch.setattr(tower_fit, "_fit_round", watched)
    report = train_two_tower(
        "words", tasks_of(data), [data], out=tmp_path / "out", base=base, recipe=recipe, force=True
    )
    (mined_by_base, _, first), (mined_by_expert, begun, second) = seen
    assert set(report.history) == {4, 24, 28, 48}
    assert report.history[28] == second.scores[4].value
    for name, weights in first.weights.items():
        np.testing.assert_array_equal(begun[name], weights)
    tower = Tower(base)
    tower.take(first.weights)
    (task,) = tasks_of(data)
    scores = tower.encode(task.graph.left_texts) @ tower.encode(task.graph.right_texts).T
    own = np.diag(scores).copy()
    np.fill_diagonal(scores, -np.inf)
    scores[scores > (own - 0.05 * np.abs(own))[:, None]] = -np.inf
    np.testing.assert_array_equal(mined_by_expert[:, 0], scores.argmax(axis=1))
    assert (mined_by_expert != mined_by_base).any()


def test_an_interrupted_second_round_goes_on_to_the_same_weights(base, data, tmp_path, monkeypatch):
    recipe = replace(ROUNDS, checkpoints=(2, 4), rounds=3)
    calls, stop_at = [], []
    whole = tower_fit.symmetric

    def interrupted(*found, **how):
        calls.append(1)
        if len(calls) in stop_at:
            raise KeyboardInterrupt
        return whole(*found, **how)

    monkeypatch.setattr(tower_fit, "symmetric", interrupted)

    def train(name):
        out = tmp_path / name
        return train_two_tower("words", tasks_of(data), [data], out=out, base=base, recipe=recipe, force=True)

    report = train("a")
    assert len(calls) == 12
    calls.clear()
    # After two steps of the second round, and at the first of the third.
    stop_at += [7, 10]
    for kept in ([".b.training", ".b.training-2"], [".b.training", ".b.training-2"]):
        with pytest.raises(KeyboardInterrupt):
            train("b")
        assert sorted(path.name for path in tmp_path.glob(".b*")) == kept
    again = train("b")
    assert len(calls) == 12 + 2
    assert again.as_dict() | {"folder": ""} == report.as_dict() | {"folder": ""}
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    assert not list(tmp_path.glob(".b*"))


def fitted_of(scores, *, diverged=None):
    """A fit with these scores by number of steps, whose weights tell which was taken."""
    steps = max(scores, key=scores.get)
    found = {one: DevScore(value, {}) for one, value in scores.items()}
    return Fitted(steps, {"w": np.array([scores[steps]])}, found, diverged)


@pytest.mark.parametrize(
    ("later", "steps", "value"),
    [({2: 0.25, 4: 0.75}, 8, 0.75), ({2: 0.25, 4: 0.5}, 2, 0.5), ({2: 0.625}, 6, 0.625)],
)
def test_what_two_rounds_come_to_is_the_better_of_both_and_the_round_that_diverged_is_named(later, steps, value):
    former = fitted_of({2: 0.5, 4: 0.25})
    together = joined(former, fitted_of(later, diverged="the loss of step 3 is nan"), number=1, done=4)
    assert (together.steps, together.weights["w"].item(), together.score) == (steps, value, value)
    expected = {2: 0.5, 4: 0.25} | {4 + at: score for at, score in later.items()}
    assert {at: score.value for at, score in together.scores.items()} == expected
    assert together.diverged == "in round 2, with 4 steps before it, the loss of step 3 is nan"
    assert joined(former, fitted_of(later), number=1, done=4).diverged is None


@pytest.mark.parametrize(("n_good", "checkpoints"), [(4, {2, 4}), (7, {2, 4, 6})])
def test_a_second_round_that_diverges_leaves_the_best_of_both(base, data, tmp_path, monkeypatch, n_good, checkpoints):
    nan_from(monkeypatch, n_good)
    recipe, out = replace(ROUNDS, checkpoints=(2, 4)), tmp_path / "out"

    def train(**settings):
        return train_two_tower("words", tasks_of(data), [data], out=out, base=base, recipe=recipe, **settings)

    with pytest.raises(TrainingDivergedError) as raised:
        train()
    report = train(force=True)
    assert set(report.history) == checkpoints
    score = report.history[report.steps]
    assert score == max(report.history.values())
    found = f"in round 2, with 4 steps before it, the loss of step {n_good - 4} is nan"
    best = f"The best checkpoint before it, after {report.steps} steps in all, scored {score:.4f}"
    assert report.diverged.startswith(found)
    assert report.diverged.endswith(f". {best} on dev, and was taken")
    assert "kept in" not in report.diverged
    error, kept = str(raised.value), f"{tmp_path / '.out.training'}, {tmp_path / '.out.training-2'}"
    assert error.startswith(found)
    assert f". What was good before it is kept in {kept}. {best} on dev: make an expert of it with --force" in error
    assert (error.count("--force"), error.count("The best checkpoint")) == (1, 1)
    assert not list(tmp_path.glob(".out*"))


# --- what is kept of rounds ------------------------------------------------------------------------------------------


@pytest.fixture
def refused(base, data, tmp_path, monkeypatch):
    """A training of two rounds whose expert was refused, so that both are kept; gives how to train there again."""

    def train(sets=(data,), *, recipe=ROUNDS, out=tmp_path / "out", force=True):
        return train_two_tower("words", tasks_of(data), list(sets), out=out, base=base, recipe=recipe, force=force)

    with monkeypatch.context() as changed:
        changed.setattr(tower_report, "is_helpful", lambda _: False)
        with pytest.raises(ExpertNotHelpfulError):
            train(force=False)
    assert kept_in(tmp_path) == [".out.training", ".out.training-2"]
    return train


def kept_in(folder):
    return sorted(path.name for path in folder.glob(".out*"))


def test_a_round_that_was_kept_by_another_training_has_no_part_in_one(refused, tmp_path):
    # Other judgements change what is scored on dev, but neither weights nor hard negatives of a round.
    other = write_letters(tmp_path / "else", shift=3)
    with pytest.raises(ArtifactError, match=r"other settings \(data: ") as error:
        refused([other])
    files = [tmp_path / name for name in kept_in(tmp_path)]
    assert str(error.value).endswith(f"or remove {files[0]}, {files[1]} to train from the beginning")
    files[0].unlink()
    history = refused([other]).history
    assert history == refused([other], out=tmp_path / "fresh").history
    assert kept_in(tmp_path) == []


def test_a_training_of_fewer_rounds_leaves_no_later_round_behind(refused, tmp_path):
    (tmp_path / ".out.training").unlink()
    refused(recipe=replace(ROUNDS, rounds=1))
    assert kept_in(tmp_path) == []


def test_a_round_is_kept_with_the_settings_of_the_first(tmp_path):
    first = FitState.beside(tmp_path / "out", settings={"seed": 1})
    begins = {"weights": {"w": np.zeros(2, dtype=np.float32)}, "tasks": []}
    state_of_round(first, 1, **begins).write({"w": np.ones(1)}, {"step": 3})
    first.write({}, {})
    assert begun(first).file == first.file
    assert state_of_round(first, 1, **begins).read()[1] == {"step": 3}
    other = FitState.beside(tmp_path / "out", settings={"seed": 2})
    with pytest.raises(ArtifactError, match=r"training-2 belongs to .*\(seed: 1, now 2\)") as error:
        state_of_round(other, 1, **begins).read()
    assert str(error.value).endswith(f"or remove {first.file}-2, {first.file} to train from the beginning")


def test_later_rounds_are_forgotten_with_the_first_and_no_other_file_is(tmp_path):
    first, recipe = FitState.beside(tmp_path / "out", settings={}), replace(ROUNDS, rounds=2)
    others = {".out.training-2.training", ".out.training-3-0.001.training", ".outs.training", "out.training-2"}

    def write(*names):
        for name in (*others, *names):
            (tmp_path / name).write_bytes(b"")

    def left():
        return {path.name for path in tmp_path.iterdir()}

    write(".out.training", ".out.training-2", ".out.training-11")
    begun(first)
    assert left() == others | {".out.training", ".out.training-2", ".out.training-11"}
    remove_states(first, recipe)
    assert left() == others
    write(".out.training-2", ".out.training-11")
    begun(first)
    assert left() == others
    # The writing of a later round may have been killed.
    write(".out.training", "..out.training-2.tmp-1")
    remove_states(first, recipe)
    assert left() == others
