"""Training LoRA experts: a tiny model, and a tiny data set whose answers no untrained model can know."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from letters import ANSWERS, ASKED, write_letters

from routeret.datasets import load_dataset
from routeret.encoders import HashingEncoder, TorchEncoder
from routeret.encoders.adapted import AdaptedQueries
from routeret.errors import ArtifactError, ExpertNotHelpfulError, InputError, TrainingDivergedError
from routeret.experts import LoraExpert, load_expert
from routeret.retriever import Retriever
from routeret.routing import STRENGTHS, load_pilots
from routeret.training import expert_report, lora, train_expert, trained
from routeret.training.choosing import choose
from routeret.training.embedded import embed_dataset
from routeret.training.fitting import FitState
from routeret.training.linear import LinearRecipe
from routeret.training.lora import AskedSet, LoraRecipe, fit_lora
from routeret.training.material import Anchors
from routeret.training.measuring import divide
from routeret.types import QueryBatch

RECIPE = LoraRecipe(learning_rates=(1e-2, 3e-2), checkpoints=(5, 30), rank=4, alpha=8.0, batch=8)


@pytest.fixture(scope="module")
def base(e5_model):
    return TorchEncoder(e5_model, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_letters(tmp_path_factory.mktemp("data") / "letters")


def parts_of(data, base):
    embedded = embed_dataset(load_dataset(data), base)
    division = divide(embedded)
    source = AskedSet(division.train.texts, embedded.training_set(division.train))
    return source, (division.dev.texts, embedded.judged(division.dev))


def fit(data, base, recipe=RECIPE, **settings):
    source, dev = parts_of(data, base)
    found = fit_lora(base, [source], dev=[dev], recipe=recipe, **settings)
    return found.fits, found.scores


def weights_of(fits):
    return [np.concatenate([matrix.ravel() for matrix in one.adapter.weights.values()]) for one in fits]


# --- the fit ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def before(base):
    """The base's vectors of the queries before any fit."""
    return base.encode_queries(ASKED)


@pytest.fixture(scope="module")
def fitted(data, base, before):  # noqa: ARG001 - what was before comes before
    """One fit by the recipe as it is; read only."""
    return fit(data, base)


def test_a_fit_beats_the_base_and_every_rate_and_checkpoint_comes_in_order(base, before, fitted):
    fits, (scores,) = fitted
    assert [(one.learning_rate, one.steps) for one in fits] == [(1e-2, 5), (1e-2, 30), (3e-2, 5), (3e-2, 30)]
    assert scores.options.shape == (8, 4, len(STRENGTHS))
    assert scores.base.mean() < 0.6
    assert scores.options[:, 1, -1].mean() > scores.base.mean() + 0.3
    np.testing.assert_array_equal(base.encode_queries(ASKED), before)


def test_the_scores_are_those_of_the_adapters(data, base, fitted):
    fits, (scores,) = fitted
    _, (texts, judged) = parts_of(data, base)
    for number, one in enumerate(fits):
        shift = AdaptedQueries(base, one.adapter).encode_queries(texts) - judged.queries
        expected = judged.ndcg_of_shift(shift, STRENGTHS, unit_length=True)
        # The adapter was rounded since, which may swap two documents that score alike.
        assert np.abs(scores.options[:, number].mean(axis=0) - expected.mean(axis=0)).max() < 0.05


def test_the_loss_falls(data, base, monkeypatch):
    losses = []
    whole = lora.many_positives

    def watched(*arguments, **settings):
        value = whole(*arguments, **settings)
        losses.append(value.item())
        return value

    monkeypatch.setattr(lora, "many_positives", watched)
    fit(data, base, replace(RECIPE, learning_rates=(1e-2,)))
    assert losses[0] > 1.5
    assert losses[-1] < losses[0] / 2


def test_a_seed_fixes_the_fit(data, base):
    short = replace(RECIPE, checkpoints=(3,), batch=4, dropout=0.2)
    first, again, other = (weights_of(fit(data, base, short, seed=seed)[0]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_fit_depends_on_no_fit_before_it(data, base):
    together = weights_of(fit(data, base, replace(RECIPE, checkpoints=(4,)))[0])
    alone = weights_of(fit(data, base, replace(RECIPE, checkpoints=(4,), learning_rates=(3e-2,)))[0])
    np.testing.assert_array_equal(together[1], alone[0])


def test_an_interrupted_fit_goes_on_to_the_same_adapters(data, base, tmp_path, monkeypatch):
    recipe = replace(RECIPE, checkpoints=(4, 8), dropout=0.1)
    expected = fit(data, base, recipe)
    states = {rate: FitState.beside(tmp_path / f"law-{rate}", settings={"rate": rate}) for rate in (1e-2, 3e-2)}
    whole, calls = lora.many_positives, []

    def interrupted(*arguments, **settings):
        calls.append(1)
        if len(calls) in (7, 18):
            raise KeyboardInterrupt
        return whole(*arguments, **settings)

    monkeypatch.setattr(lora, "many_positives", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fit(data, base, recipe, states=states)
    found = fit(data, base, recipe, states=states)
    # 16 steps in all; those after the last checkpoint before an interruption come twice.
    assert len(calls) < 16 + 8
    np.testing.assert_array_equal(weights_of(found[0]), weights_of(expected[0]))
    np.testing.assert_array_equal(found[1][0].options, expected[1][0].options)


def test_several_sets_share_one_adapter(base, tmp_path):
    sets = [write_letters(tmp_path / "one"), write_letters(tmp_path / "two", answers=ANSWERS[::-1])]
    parts = [parts_of(one, base) for one in sets]
    found = fit_lora(base, [source for source, _ in parts], dev=[dev for _, dev in parts], recipe=RECIPE)
    assert [one.name for one in found.scores] == ["one", "two"]
    # The sets answer the same queries in opposite ways, so no adapter can have both.
    choice = choose(found.scores)
    assert choice.gain < 0.4
    assert len(found.fits) == 4


def test_anchors_keep_other_queries_where_they_are(data, base):
    others = ("river tax", "bank card", "water")
    vectors = base.encode_queries(list(others))
    recipe = replace(RECIPE, learning_rates=(1e-2,), checkpoints=(30,), anchor_weight=50.0)

    def cosine(anchors):
        (one,), _ = fit(data, base, recipe, anchors=anchors)
        return np.einsum("nd,nd->n", AdaptedQueries(base, one.adapter).encode_queries(list(others)), vectors).mean()

    assert cosine(Anchors(("others",), others, vectors)) > cosine(None) + 0.02


def test_a_part_of_a_large_corpus_stands_for_it(data, base):
    source, dev = parts_of(data, base)
    few = replace(RECIPE, n_candidates=2, batch=4, checkpoints=(20,), learning_rates=(1e-2,))
    (scores,) = fit_lora(base, [source], dev=[dev], recipe=few).scores
    assert scores.options[:, 0, -1].mean() > scores.base.mean() + 0.1
    fitting = lora._Source(source, lora.Tower(base), base, few, n_batch=4, seed=0)
    candidates = fitting._candidates(3, [np.array([5]), np.array([0, 5])])
    assert {0, 5} <= set(candidates.tolist())
    assert 2 <= len(candidates) <= 4
    assert candidates.tolist() == sorted(set(candidates.tolist()))


def test_vectors_of_any_length_are_fitted_too(tiny_models, data, tmp_path):
    free = tiny_models.write(tmp_path / "free", normalize=False, similarity="dot")
    encoder = TorchEncoder(free, device="cpu", precision="float32")
    assert not encoder.space.unit_length
    _, (scores,) = fit(data, encoder)
    assert scores.options[:, 1, -1].mean() > scores.base.mean() + 0.1


def test_one_query_and_one_document_are_enough(base):
    source, dev = parts_of_pair(base)
    found = fit_lora(base, [source], dev=[dev], recipe=replace(RECIPE, checkpoints=(1,)))
    assert all(np.isfinite(weights).all() for weights in weights_of(found.fits))
    assert found.scores[0].options.tolist() == [[[1.0] * 4] * 2]


def parts_of_pair(base):
    from routeret.training.scoring import JudgedQueries
    from routeret.training.training_set import TrainingSet

    query, document, row = base.encode_queries(["a"]), base.encode_queries(["z"]), (np.array([0]),)
    source = AskedSet(("a",), TrainingSet("pair", query, document, row))
    return source, (("a",), JudgedQueries("pair", query, document, row, (np.ones(1, np.float32),)))


def test_what_cannot_be_fitted_is_refused(data, base):
    source, dev = parts_of(data, base)
    with pytest.raises(InputError, match="0 training and 1 dev sets"):
        fit_lora(base, [], dev=[dev])
    with pytest.raises(InputError, match="1 training and 0 dev sets"):
        fit_lora(base, [source], dev=[])
    with pytest.raises(InputError, match="1 texts came with 8 query vectors"):
        AskedSet(("a",), source.training)


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rates": ()},
        {"learning_rates": (1e-3, 0.0)},
        {"checkpoints": (3, 2)},
        {"rank": 0},
        {"temperature": 0.0},
        {"n_candidates": 0},
        {"dropout": 1.0},
        {"n_hard_negatives": -1},
        {"margin": 1.5},
        {"rounds": 2},
    ],
)
def test_a_recipe_without_a_meaning_is_refused(changes):
    with pytest.raises(InputError):
        LoraRecipe(**changes)


def test_only_the_adapter_is_trained_and_only_it_drops(data, base):
    source, dev = parts_of(data, base)
    fitting = lora._Fitting(base, [source], [dev], None, replace(RECIPE, dropout=0.3), seed=0)
    assert all(".lora_" in name for name in fitting._tower.parameters())
    fitting.run(1e-3, state=None, show_progress=False)
    training = {type(module).__name__ for module in fitting._tower.model.modules() if module.training}
    assert training == {"ModuleDict", "Dropout"}
    dropping = [module for module in fitting._tower.model.modules() if isinstance(module, torch.nn.Dropout)]
    assert {module.p for module in dropping if module.training} == {0.3}


# --- the expert ------------------------------------------------------------------------------------------------------


def test_a_trained_expert_joins_a_retriever_beside_a_linear_one(data, base, tmp_path):
    report = train_expert("law", [data], out=tmp_path / "law", kind="lora", base=base, recipe=RECIPE, seed=1)
    assert report.helpful
    score = report.sets[0]
    assert (score.name, score.n_train, score.n_dev) == ("letters", 8, 8)
    assert score.expert > score.base + 0.3
    assert list(tmp_path.iterdir()) == [tmp_path / "law"]
    expert = load_expert(tmp_path / "law", base=base)
    assert isinstance(expert, LoraExpert)
    assert (expert.strength, expert.details["learning_rate"] in (1e-2, 3e-2)) == (report.strength, True)
    assert expert.details["recipe"]["checkpoints"] == [5, 30]
    pilots = load_pilots(tmp_path / "law" / "pilots").corpora[0]
    column = STRENGTHS.index(report.strength)
    assert pilots.gains["law"][:8, column].mean() == pytest.approx(score.expert - score.base, abs=0.05)
    quick = LinearRecipe(checkpoints=(3,))
    train_expert("flat", [data], out=tmp_path / "flat", base=base, recipe=quick, force=True)
    with Retriever.create(tmp_path / "kb", base=base) as kb:
        kb.add(data)
        kb.add_expert(tmp_path / "law")
        kb.add_expert(tmp_path / "flat")
        assert kb.expert_names == ("law", "flat")
        found = [kb.search(letter, 1, expert="law")[0].text for letter in ASKED]
        assert sum(map(str.__eq__, found, ANSWERS)) >= 6
        routed = kb.search("a", 2)
    with Retriever.open(tmp_path / "kb", base=base) as kb:
        assert [kb.search(letter, 1, expert="law")[0].text for letter in ASKED] == found
        assert [hit.id for hit in kb.search("a", 2)] == [hit.id for hit in routed]
        kb.remove_expert("law")
        assert kb.expert_names == ("flat",)


def test_the_same_seed_gives_the_same_folder_also_when_it_was_interrupted(data, base, tmp_path, monkeypatch):
    recipe = replace(RECIPE, checkpoints=(5, 12))

    def train(name):
        given = {"kind": "lora", "base": base, "recipe": recipe, "anchors": [data], "force": True}
        return train_expert("law", [data], out=tmp_path / name / "law", **given)

    train("a")
    whole, calls = lora.many_positives, []

    def interrupted(*arguments, **settings):
        calls.append(1)
        # In step 7 of the second rate.
        if len(calls) == 20:
            raise KeyboardInterrupt
        return whole(*arguments, **settings)

    monkeypatch.setattr(lora, "many_positives", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train("b")
    assert sorted(file.name for file in (tmp_path / "b").iterdir()) == [".law-0.01.training", ".law-0.03.training"]
    train("b")
    assert [file.name for file in (tmp_path / "b").iterdir()] == ["law"]
    first, second = (
        {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.suffix == ".safetensors"}
        for folder in (tmp_path / "a", tmp_path / "b")
    )
    assert first == second


def test_a_state_of_other_data_is_not_gone_on_from(data, base, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    recipe = replace(RECIPE, checkpoints=(1, 2))
    whole = lora.many_positives
    calls = iter([whole, stopped])
    monkeypatch.setattr(lora, "many_positives", lambda *found, **settings: next(calls)(*found, **settings))
    with pytest.raises(KeyboardInterrupt):
        train_expert("law", [data], out=tmp_path / "law", kind="lora", base=base, recipe=recipe)
    monkeypatch.setattr(lora, "many_positives", whole)
    other = write_letters(tmp_path / "other", answers=ANSWERS[::-1])
    with pytest.raises(ArtifactError, match=r"other settings \(data: "):
        train_expert("law", [other], out=tmp_path / "law", kind="lora", base=base, recipe=recipe)


def test_an_expert_that_does_not_help_is_not_written_unless_forced(data, base, tmp_path):
    lazy = LoraRecipe(learning_rates=(1e-9,), checkpoints=(1,), batch=8)
    with pytest.raises(ExpertNotHelpfulError, match=r"'law' changes nDCG@10 on dev by .* --force"):
        train_expert("law", [data], out=tmp_path / "law", kind="lora", base=base, recipe=lazy)
    assert [path.name for path in tmp_path.iterdir()] == [".law-1e-09.training"]
    forced = train_expert("law", [data], out=tmp_path / "law", kind="lora", base=base, recipe=lazy, force=True)
    assert not forced.helpful
    assert load_expert(tmp_path / "law").name == "law"
    assert list(tmp_path.iterdir()) == [tmp_path / "law"]


def test_a_refused_expert_is_forced_without_training_again(data, base, tmp_path, monkeypatch):
    lazy = LoraRecipe(learning_rates=(1e-9, 2e-9), checkpoints=(1, 3), batch=8)
    whole, n_steps = lora.many_positives, []
    monkeypatch.setattr(lora, "many_positives", lambda *found, **how: n_steps.append(1) or whole(*found, **how))
    with pytest.raises(ExpertNotHelpfulError) as refused:
        train_expert("law", [data], out=tmp_path / "law", kind="lora", base=base, recipe=lazy)
    kept = f"{tmp_path / '.law-1e-09.training'}, {tmp_path / '.law-2e-09.training'}"
    assert f"That trains nothing again, since the training is kept in {kept}; remove that" in str(refused.value)
    train_expert("law", [data], out=tmp_path / "law", kind="lora", base=base, recipe=lazy, force=True)
    assert len(n_steps) == 2 * 3
    assert list(tmp_path.iterdir()) == [tmp_path / "law"]


def lost_at(*calls):
    """The loss, which is no number in some calls, counted from 1 over all fits."""
    whole, n_calls = lora.many_positives, []

    def loss(*found, **how):
        n_calls.append(1)
        value = whole(*found, **how)
        return value * float("nan") if len(n_calls) in calls else value

    return loss


def test_a_rate_that_diverges_leaves_the_others_and_its_own_checkpoints(data, base, fitted, monkeypatch):
    expected, (scores,) = fitted
    source, dev = parts_of(data, base)
    # The first rate has 30 steps, so call 38 is step 7 of the second.
    monkeypatch.setattr(lora, "many_positives", lost_at(38))
    found = fit_lora(base, [source], dev=[dev], recipe=RECIPE)
    assert [(one.learning_rate, one.steps) for one in found.fits] == [(1e-2, 5), (1e-2, 30), (3e-2, 5)]
    np.testing.assert_array_equal(weights_of(found.fits), weights_of(expected[:3]))
    np.testing.assert_array_equal(found.scores[0].options, scores.options[:, :3])
    assert list(found.diverged) == [3e-2]
    assert "the loss of step 7 is nan" in found.diverged[3e-2]
    assert "8 queries of set 'letters' that begin with '" in found.diverged[3e-2]


def test_a_rate_that_never_reached_a_checkpoint_has_no_part(data, base, monkeypatch):
    source, dev = parts_of(data, base)
    monkeypatch.setattr(lora, "many_positives", lost_at(3))
    found = fit_lora(base, [source], dev=[dev], recipe=RECIPE)
    assert [(one.learning_rate, one.steps) for one in found.fits] == [(3e-2, 5), (3e-2, 30)]
    assert "the loss of step 2 is nan" in found.diverged[1e-2]


def test_the_report_and_the_manifest_tell_which_rate_diverged(data, base, tmp_path, monkeypatch):
    monkeypatch.setattr(lora, "many_positives", lost_at(38))
    out = tmp_path / "law"
    report = train_expert("law", [data], out=out, kind="lora", base=base, recipe=RECIPE, force=True)
    (message,) = report.diverged
    assert message.startswith("learning rate 0.03: the loss of step 7 is nan")
    assert report.as_dict()["diverged"] == load_expert(out).details["diverged"] == [message]
    assert list(tmp_path.iterdir()) == [out]


def test_a_loss_that_is_no_number_at_any_rate_names_the_batches_and_keeps_what_was_good(
    data, base, tmp_path, monkeypatch
):
    monkeypatch.setattr(lora, "many_positives", lost_at(*range(100)))
    first = r"learning rate 0.01: the loss of step 0 is nan.*8 queries of set 'letters' that begin with '"
    with pytest.raises(TrainingDivergedError, match=first + r".*; learning rate 0.03: the loss of step 0 is nan"):
        train_expert("law", [data], out=tmp_path / "law", kind="lora", base=base, recipe=RECIPE, force=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".law-0.01.training", ".law-0.03.training"]


# --- hard negatives --------------------------------------------------------------------------------------------------


def test_hard_negatives_are_among_the_documents_of_a_step(data, base):
    source, _ = parts_of(data, base)
    rows = (np.arange(8)[:, None] + np.array([3, 5])) % 8
    rows[0, 1] = -1
    source = replace(source, training=replace(source.training, hard_negatives=rows))
    few = replace(RECIPE, n_candidates=1, batch=16)
    fitting = lora._Source(source, lora.Tower(base), base, few, n_batch=2, seed=0)
    whole, found = fitting._candidates, []

    def watched(*which):
        found.append(whole(*which))
        return found[-1]

    fitting._candidates = watched
    for step in range(4):
        fitting.loss(step)
        batch = fitting._batches.rows(step)
        wanted = {*batch, *rows[batch][rows[batch] >= 0]}
        assert wanted <= set(found[-1])
        # One document is drawn besides.
        assert len(found[-1]) <= len(wanted) + 1


def test_a_likely_answer_is_no_negative(data, base, monkeypatch):
    source, dev = parts_of(data, base)
    scores = source.training.queries @ source.training.documents.T
    # Half way between the best and the second best document of a query, so its best one is ignored and no other.
    limits = np.sort(scores, axis=1)[:, -2:].mean(axis=1)
    source = replace(source, training=replace(source.training, ignored_above=limits))
    whole, masks = lora.many_positives, []

    def watched(*found, ignored, **how):
        masks.append(ignored)
        return whole(*found, ignored=ignored, **how)

    monkeypatch.setattr(lora, "many_positives", watched)
    fit_lora(base, [source], dev=[dev], recipe=replace(RECIPE, learning_rates=(1e-2,), checkpoints=(1,)))
    order = lora.Batches(8, 16, seed=0).rows(0)
    assert masks[0].sum() == 8
    assert masks[0].numpy().argmax(axis=1).tolist() == scores.argmax(axis=1)[order].tolist()


ROUNDS = replace(
    RECIPE,
    learning_rates=(1e-2,),
    checkpoints=(8,),
    n_candidates=2,
    n_hard_negatives=2,
    margin=None,
    rounds=2,
    batch=16,
)


def test_a_second_round_mines_from_the_expert_and_goes_on_after_an_interruption(data, base, tmp_path, monkeypatch):
    recipe = ROUNDS
    whole, mined = trained.with_negatives, []

    def watched(*found, **how):
        mined.append((how.get("written"), whole(*found, **how)))
        return mined[-1][1]

    monkeypatch.setattr(trained, "with_negatives", watched)
    call = {"kind": "lora", "base": base, "recipe": recipe, "force": True}
    train_expert("law", [data], out=tmp_path / "a" / "law", **call)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["law"]
    (none, (first,)), ((written,), (second,)) = mined
    assert none is None
    train_expert("law", [data], out=tmp_path / "b", **{**call, "recipe": replace(recipe, rounds=1)})
    before = load_expert(tmp_path / "b", base=base)
    batch = QueryBatch(tuple(ASKED), base.encode_queries(ASKED))
    strengths = np.full(8, before.strength, dtype=np.float32)
    np.testing.assert_allclose(written, before.encode_queries(batch, strengths=strengths), atol=1e-6)
    assert not np.array_equal(first.hard_negatives, second.hard_negatives)

    whole_loss, calls = lora.many_positives, []

    def interrupted(*found, **how):
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return whole_loss(*found, **how)

    monkeypatch.setattr(lora, "many_positives", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_expert("law", [data], out=tmp_path / "c" / "law", **call)
    assert [path.name for path in (tmp_path / "c").iterdir()] == [".law-0.01.training"]
    train_expert("law", [data], out=tmp_path / "c" / "law", **call)
    # The first round is not trained again.
    assert len(calls) == 10 + 8
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["law"]
    first, again = (
        (tmp_path / name / "law" / "adapter" / "adapter_model.safetensors").read_bytes() for name in ("a", "c")
    )
    assert first == again


def test_a_second_round_that_reaches_no_checkpoint_leaves_the_first(data, base, tmp_path, monkeypatch):
    call = {"kind": "lora", "base": base, "force": True}
    train_expert("law", [data], out=tmp_path / "one" / "law", recipe=replace(ROUNDS, rounds=1), **call)
    # The first round has 8 steps, so call 11 is step 2 of the second.
    lost, n_steps = lost_at(11), []
    monkeypatch.setattr(lora, "many_positives", lambda *found, **how: n_steps.append(1) or lost(*found, **how))
    out = tmp_path / "three" / "law"
    report = train_expert("law", [data], out=out, recipe=replace(ROUNDS, rounds=3), **call)
    # There is no third round.
    assert len(n_steps) == 11
    (message,) = report.diverged
    assert message.startswith("round 2: learning rate 0.01: the loss of step 2 is nan")
    assert message.endswith("The expert of round 1 was taken")
    assert load_expert(out, base=base).details["diverged"] == [message]
    one, three = (
        (tmp_path / name / "law" / "adapter" / "adapter_model.safetensors").read_bytes() for name in ("one", "three")
    )
    assert one == three
    assert list(out.parent.iterdir()) == [out]


def test_the_state_of_a_later_round_of_other_settings_is_refused_before_anything_is_trained(
    data, base, tmp_path, monkeypatch
):
    call = {"out": tmp_path / "law", "kind": "lora", "base": base, "recipe": ROUNDS}
    monkeypatch.setattr(lora, "many_positives", lost_at())
    with monkeypatch.context() as changed:
        changed.setattr(expert_report, "is_helpful", lambda _: False)
        with pytest.raises(ExpertNotHelpfulError):
            train_expert("law", [data], **call)
    first, second = (tmp_path / f".law-{stem}0.01.training" for stem in ("", "round2-"))
    assert sorted(tmp_path.iterdir()) == [first, second]
    with pytest.raises(ArtifactError, match=r"\(seed: 0, now 1\)") as error:
        train_expert("law", [data], seed=1, **call)
    assert str(error.value).endswith(f"or remove {first}, {second} to train from the beginning")
    first.unlink()
    monkeypatch.setattr(lora, "many_positives", lambda *_, **__: pytest.fail("a step was trained"))
    with pytest.raises(ArtifactError, match=r"round2-0\.01\.training belongs to .*\(seed: 0, now 1\)"):
        train_expert("law", [data], seed=1, **call)


def test_bad_calls_are_refused(data, base, tmp_path):
    out = tmp_path / "law"
    with pytest.raises(InputError, match="found the kind 'tree', expected one of linear, lora"):
        train_expert("law", [data], out=out, kind="tree", base=base)
    with pytest.raises(InputError, match="kind 'lora' came with a LinearRecipe"):
        train_expert("law", [data], out=out, kind="lora", base=base, recipe=LinearRecipe())
    with pytest.raises(InputError, match="kind 'linear' came with a LoraRecipe"):
        train_expert("law", [data], out=out, base=base, recipe=RECIPE)
    with pytest.raises(InputError, match="found a HashingEncoder as the base"):
        train_expert("law", [data], out=out, kind="lora", base=HashingEncoder(16))
    assert not out.exists()
