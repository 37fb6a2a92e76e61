"""Linear fits that diverge, and the hard negatives and likely answers of their queries."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routeret.datasets import load_dataset
from routeret.encoders import HashingEncoder
from routeret.errors import InputError, TrainingDivergedError
from routeret.experts import load_expert
from routeret.training import linear, train_expert, trained
from routeret.training.embedded import embed_dataset
from routeret.training.linear import LinearFitDivergedError, LinearRecipe, fit_linear
from routeret.training.material import Anchors, Material
from routeret.training.measuring import divide
from routeret.training.negatives import mine
from routeret.training.query_negatives import limits_of_answers, mined_negatives, with_negatives
from routeret.training.trained import trained_linear
from routeret.training.training_set import TrainingSet
from routeret.types import QueryBatch

RECIPE = LinearRecipe(checkpoints=(5, 10, 40), batch=16, n_negatives=20, learning_rate=3e-2)
ENCODER = HashingEncoder(32)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def rows(*numbers):
    return np.array(numbers, dtype=np.int64)


def turned_set(n=60, dim=8, **settings):
    """Documents in random directions; the query of each is the document with its axes shifted by one."""
    documents = unit(np.random.default_rng(0).normal(size=(n, dim)))
    queries = np.roll(documents, 1, axis=1)
    return TrainingSet("turned", queries, documents, tuple(rows(number) for number in range(n)), **settings)


def written_set(folder, *, documents, queries, answers):
    """A BEIR folder whose train and dev splits judge the same queries; each has one answer."""
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", documents), ("queries", queries)):
        lines = [json.dumps({"_id": f"{name[0]}{number}", "text": text}) for number, text in enumerate(texts)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    judged = "".join(f"q{number}\tc{answer}\t1\n" for number, answer in enumerate(answers))
    for split in ("train", "dev"):
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


@pytest.fixture
def animals(tmp_path):
    """Queries in another language, whose answers neither words nor the untrained base can find."""
    names = ["cat", "dog", "cow", "hen", "pig", "fox", "owl", "bee", "ant", "elk", "yak", "emu"]
    foreign = ["gato", "perro", "vaca", "gallina", "cerdo", "zorro", "buho", "abeja", "hormiga", "alce", "yac", "emuu"]
    documents = [f"the {name}" for name in names]
    return written_set(tmp_path / "animals", documents=documents, queries=foreign, answers=range(len(names)))


# --- losses that are no numbers --------------------------------------------------------------------------------------


def lost_at(*calls):
    """The loss, which is no number in some calls, counted from 1."""
    whole, n_calls = linear.many_positives, []

    def loss(*found, **how):
        n_calls.append(1)
        value = whole(*found, **how)
        return value * float("nan") if len(n_calls) in calls else value

    return loss


def test_a_huge_learning_rate_stops_and_names_the_batch():
    with pytest.raises(TrainingDivergedError, match="16 queries of set 'turned' that begin with") as stopped:
        fit_linear([turned_set()], recipe=replace(RECIPE, learning_rate=1e30))
    assert "No checkpoint was reached before it" in str(stopped.value)
    assert stopped.value.checkpoints == ()


def test_what_was_fitted_before_a_loss_that_is_no_number_is_kept(monkeypatch):
    expected = fit_linear([turned_set()], recipe=RECIPE)
    monkeypatch.setattr(linear, "many_positives", lost_at(12))
    with pytest.raises(LinearFitDivergedError, match=r"the loss of step 11 is nan.* after 5, 10 steps.*--force") as it:
        fit_linear([turned_set()], recipe=RECIPE)
    assert [point.steps for point in it.value.checkpoints] == [5, 10]
    for found, point in zip(it.value.checkpoints, expected, strict=False):
        np.testing.assert_array_equal(found.weight, point.weight)


def test_a_query_that_is_no_number_is_named_by_its_id():
    source = turned_set(n=3, query_ids=("first", "second", "third"))
    source.queries[1] = np.nan
    with pytest.raises(TrainingDivergedError, match="3 queries of set 'turned' that begin with") as stopped:
        fit_linear([source], recipe=RECIPE)
    assert {name for name in source.query_ids if f"'{name}'" in str(stopped.value)} == set(source.query_ids)


def test_a_map_that_leaves_no_length_is_no_checkpoint():
    # The first step of AdamW is as long as the rate, whatever the gradient, and 1e25 squared is no float32.
    with pytest.raises(TrainingDivergedError, match="the map after step 1 gives query vectors without a length"):
        fit_linear([turned_set()], recipe=replace(RECIPE, checkpoints=(1, 2), learning_rate=1e25))


def test_an_expert_of_a_diverged_fit_is_written_by_force_alone(animals, tmp_path, monkeypatch):
    out, how = tmp_path / "out", {"base": ENCODER, "recipe": replace(RECIPE, n_negatives=12)}
    monkeypatch.setattr(linear, "many_positives", lost_at(8))
    with pytest.raises(TrainingDivergedError, match=r"12 queries of set 'animals' .*after 5 steps"):
        train_expert("zoo", [animals], out=out, **how)
    assert list(tmp_path.iterdir()) == [animals]
    monkeypatch.setattr(linear, "many_positives", lost_at(8))
    report = train_expert("zoo", [animals], out=out, force=True, **how)
    assert report.steps == 5
    (message,) = report.diverged
    assert "the loss of step 7 is nan" in message
    assert load_expert(out).details["diverged"] == report.as_dict()["diverged"] == [message]


def test_nothing_is_written_where_no_checkpoint_was_reached(animals, tmp_path, monkeypatch):
    monkeypatch.setattr(linear, "many_positives", lost_at(5))
    with pytest.raises(TrainingDivergedError, match="No checkpoint"):
        train_expert("zoo", [animals], out=tmp_path / "out", base=ENCODER, recipe=RECIPE, force=True)
    assert list(tmp_path.iterdir()) == [animals]


def test_a_fit_that_went_well_says_nothing_of_it(animals, tmp_path):
    report = train_expert("zoo", [animals], out=tmp_path / "out", base=ENCODER, recipe=RECIPE, force=True)
    assert report.diverged == ()
    assert "diverged" not in load_expert(tmp_path / "out").details


# --- likely answers --------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 1000), margin=st.sampled_from([0.0, 0.05, 0.5, 1.0]))
@settings(max_examples=25, deadline=None)
def test_the_limits_are_those_of_mining(seed, margin):
    rng = np.random.default_rng(seed)
    documents, queries = unit(rng.normal(size=(30, 6))), unit(rng.normal(size=(5, 6)))
    answers = tuple(np.sort(rng.choice(30, rng.integers(1, 4), replace=False)) for _ in range(5))
    scores = queries @ documents.T
    limits = limits_of_answers(TrainingSet("any", queries, documents, answers), margin=margin)
    above = scores > limits[:, None]
    for query, positives in enumerate(answers):
        above[query, positives] = False
    assert above.sum(axis=1).tolist() == mine(queries, documents, answers, n=1, margin=margin).n_too_close.tolist()


def near_duplicate_set():
    """One query, its answer, and a document that is nearly the same and that nobody marked."""
    documents = unit(np.array([[1.0, 0.0, 0.1], [1.0, 0.05, 0.05], [0.0, 1.0, 0.0]]))
    return TrainingSet("pair", unit(np.array([[1.0, 0.1, 0.1]])), documents, (rows(0),))


def test_an_unmarked_duplicate_of_the_answer_is_no_negative():
    source = near_duplicate_set()
    limits = limits_of_answers(source, margin=0.05)
    scores = source.documents @ source.queries[0]
    assert (scores > limits[0]).tolist() == [True, True, False]
    without_third = replace(source, documents=source.documents[:2])
    recipe = replace(RECIPE, checkpoints=(3,))
    (taught,) = fit_linear([without_third], recipe=recipe)
    assert np.abs(taught.weight).max() > 0
    (nothing,) = fit_linear([replace(without_third, ignored_above=limits)], recipe=recipe)
    # The duplicate was all there was to learn from.
    assert np.array_equal(nothing.weight, np.zeros((3, 3), dtype=np.float32))
    (third,) = fit_linear([replace(source, ignored_above=limits)], recipe=recipe)
    assert np.abs(third.weight).max() > 0


def test_limits_at_infinity_change_nothing_to_the_last_bit():
    never = np.full(60, np.inf, dtype=np.float32)
    (plain,), (limited,) = (
        fit_linear([source], recipe=replace(RECIPE, checkpoints=(10,)))
        for source in (turned_set(), turned_set(ignored_above=never))
    )
    np.testing.assert_array_equal(plain.weight, limited.weight)


# --- hard negatives --------------------------------------------------------------------------------------------------


def test_hard_negatives_are_among_the_candidates_of_their_query(monkeypatch):
    hard = np.stack([(np.arange(60) + 7) % 60, np.full(60, -1), (np.arange(60) + 9) % 60], axis=1)
    source = turned_set(hard_negatives=hard)
    seen, whole = [], linear._Source._known_positives

    def watched(self, batch, candidates):
        seen.append((batch, candidates))
        return whole(self, batch, candidates)

    monkeypatch.setattr(linear._Source, "_known_positives", watched)
    fit_linear([source], recipe=replace(RECIPE, checkpoints=(4,), n_negatives=1))
    assert len(seen) == 4
    for batch, candidates in seen:
        wanted = {*batch, *((batch + 7) % 60), *((batch + 9) % 60)}
        assert wanted <= set(candidates)
        # One document is drawn besides.
        assert len(candidates) <= len(wanted) + 1


def test_a_pair_of_hard_negatives_is_told_apart_where_chance_draws_none():
    # Every query has one confusable document, which a single drawn candidate hardly ever is.
    source = turned_set(n=200)
    confusable = unit(source.documents + 0.6 * np.roll(source.documents, 1, axis=0))
    both = np.concatenate([source.documents, confusable])
    plain = TrainingSet("confusable", source.queries, both, source.positives)
    hard = replace(plain, hard_negatives=np.arange(200, 400)[:, None])
    recipe = replace(RECIPE, checkpoints=(150,), n_negatives=1)

    def share_told_apart(fitted):
        mapped = unit(plain.queries + plain.queries @ fitted.weight.T)
        answer = np.einsum("nd,nd->n", mapped, both[:200])
        return float((answer > np.einsum("nd,nd->n", mapped, both[200:])).mean())

    (without,), (beside,) = (fit_linear([one], recipe=recipe) for one in (plain, hard))
    assert share_told_apart(beside) > share_told_apart(without)


def material_of(folder):
    embedded = embed_dataset(load_dataset(folder), ENCODER)
    nothing = Anchors((), (), np.zeros((0, 32), dtype=np.float32))
    return Material(ENCODER, (embedded,), (divide(embedded),), nothing)


def test_negatives_come_from_the_base_and_from_words_in_turn(tmp_path):
    documents = ["red apple pie", "red apple", "red", "green pear", "plum"]
    folder = written_set(tmp_path / "fruit", documents=documents, queries=["red apple pie"], answers=[0])
    material = material_of(folder)
    (embedded,), queries = material.sets, material.divisions[0].train
    # A vector that points at the plum, then at the pear, so the two sources differ.
    odd = unit((2 * embedded.documents[4] + embedded.documents[3])[None])
    mined = mined_negatives(embedded, queries, vectors=[odd], n=4, margin=None)
    assert mined.rows.tolist() == [[4, 1, 3, 2]]
    # By words, "red apple" has most of what the answer has, but not within 5 % of its score.
    by_words = mined_negatives(embedded, queries, vectors=[queries.vectors], n=1, margin=0.05)
    assert by_words.rows.tolist() == [[1]]


def test_an_unmarked_duplicate_of_the_answer_is_not_mined(tmp_path):
    documents = ["red apple pie", "red apple pie ", "red apple", "plum"]
    material = material_of(written_set(tmp_path / "fruit", documents=documents, queries=["red apple pie"], answers=[0]))
    recipe = replace(RECIPE, n_negatives=1, n_hard_negatives=1)
    (filtered,) = with_negatives(material, recipe)
    assert filtered.hard_negatives.tolist() == [[2]]
    (everything,) = with_negatives(material, replace(recipe, margin=None))
    assert everything.hard_negatives.tolist() == [[1]]


def test_a_corpus_that_is_a_candidate_as_a_whole_is_not_mined(animals):
    material = material_of(animals)
    recipe = replace(RECIPE, n_hard_negatives=2, ignores_likely_answers=True)
    (whole,) = with_negatives(material, replace(recipe, n_negatives=12))
    assert whole.hard_negatives is None
    assert whole.ignored_above is not None
    (part,) = with_negatives(material, replace(recipe, n_negatives=11))
    assert part.hard_negatives.shape == (12, 2)
    assert not (part.hard_negatives == np.arange(12)[:, None]).any()
    (unlimited,) = with_negatives(material, replace(recipe, n_negatives=11, ignores_likely_answers=False))
    np.testing.assert_array_equal(unlimited.hard_negatives, part.hard_negatives)
    assert unlimited.ignored_above is None
    (plain,) = with_negatives(material, RECIPE)
    assert plain.hard_negatives is plain.ignored_above is None


def test_a_second_round_mines_from_the_expert_of_the_first(animals, monkeypatch):
    material = material_of(animals)
    recipe = replace(RECIPE, n_negatives=3, n_hard_negatives=3, margin=None, rounds=2, averaging=1.0)
    whole, mined = trained.with_negatives, []

    def watched(*found, **how):
        mined.append((how.get("written"), whole(*found, **how)[0].hard_negatives))
        return whole(*found, **how)

    monkeypatch.setattr(trained, "with_negatives", watched)
    trained_linear("zoo", material, recipe, seed=0, show_progress=False)
    (none, first), ((written,), second) = mined
    assert none is None
    expert = trained_linear("zoo", material, replace(recipe, rounds=1), seed=0, show_progress=False).expert
    train = material.divisions[0].train
    strengths = np.full(12, expert.strength, dtype=np.float32)
    expected = expert.encode_queries(QueryBatch(train.texts, train.vectors), strengths=strengths)
    np.testing.assert_array_equal(written, expected)
    # Words have nothing in common, so these come from the base, and from the base and the expert in turn.
    documents = material.sets[0].documents
    np.testing.assert_array_equal(first, mine(train.vectors, documents, train.relevant, n=3, margin=None).rows)
    np.testing.assert_array_equal(second[:, 0], first[:, 0])
    of_expert = mine(written, documents, train.relevant, n=1, margin=None).rows[:, 0]
    differs = of_expert != first[:, 0]
    assert differs.any()
    np.testing.assert_array_equal(second[differs, 1], of_expert[differs])


MINED = replace(RECIPE, n_negatives=3, n_hard_negatives=3, margin=None, rounds=3)
N_STEPS = RECIPE.checkpoints[-1]


def test_a_second_round_that_reaches_no_checkpoint_leaves_the_first_by_force(animals, tmp_path, monkeypatch):
    first = trained_linear("zoo", material_of(animals), replace(MINED, rounds=1), seed=0, show_progress=False)
    out, how = tmp_path / "out", {"base": ENCODER, "recipe": MINED}
    # The fourth step of the second round.
    bad = N_STEPS + 4
    monkeypatch.setattr(linear, "many_positives", lost_at(bad))
    with pytest.raises(TrainingDivergedError, match=r"^in round 2, the loss of step 3 is nan.*No checkpoint") as error:
        train_expert("zoo", [animals], out=out, **how)
    assert str(error.value).endswith("Round 1 was good: train expert makes an expert of it with --force (force=True)")
    assert list(tmp_path.iterdir()) == [animals]
    lost, n_steps = lost_at(bad), []
    monkeypatch.setattr(linear, "many_positives", lambda *found, **how: n_steps.append(1) or lost(*found, **how))
    report = train_expert("zoo", [animals], out=out, force=True, **how)
    # There is no third round.
    assert len(n_steps) == bad
    (message,) = report.diverged
    assert message.startswith("round 2: the loss of step 3 is nan")
    assert message.endswith("The expert of round 1 was taken")
    expert = load_expert(out)
    assert expert.details["diverged"] == [message]
    assert (report.steps, report.strength) == (first.steps, first.expert.strength)
    np.testing.assert_array_equal(expert.weight, first.expert.weight)


def test_a_second_round_that_reached_a_checkpoint_is_offered_alone(animals, tmp_path, monkeypatch):
    monkeypatch.setattr(linear, "many_positives", lost_at(N_STEPS + 8))
    with pytest.raises(TrainingDivergedError, match=r"^in round 2, the loss of step 7 is nan.* after 5 steps") as error:
        train_expert("zoo", [animals], out=tmp_path / "out", base=ENCODER, recipe=MINED)
    assert str(error.value).count("--force") == 1


def test_rounds_without_anything_mined_are_one(animals, monkeypatch):
    n_fits = []
    whole = trained.fit_linear
    monkeypatch.setattr(trained, "fit_linear", lambda *found, **how: n_fits.append(1) or whole(*found, **how))
    recipe = replace(RECIPE, n_negatives=12, n_hard_negatives=2, rounds=3)
    trained_linear("zoo", material_of(animals), recipe, seed=0, show_progress=False)
    assert len(n_fits) == 1


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"n_hard_negatives": -1}, "n_hard_negatives is -1"),
        ({"margin": -0.1}, "margin -0.1"),
        ({"margin": 1.1}, "margin 1.1"),
        ({"n_hard_negatives": 1, "rounds": 0}, "rounds 0"),
        ({"rounds": 2}, "rounds is 2 and n_hard_negatives 0"),
        ({"margin": None, "ignores_likely_answers": True}, "ignores_likely_answers is true and margin none"),
    ],
)
def test_settings_without_a_meaning_are_refused(changes, found):
    with pytest.raises(InputError, match=found):
        LinearRecipe(**changes)


def test_negatives_of_other_queries_are_refused():
    with pytest.raises(InputError, match="60 queries and hard negatives of 2"):
        turned_set(hard_negatives=np.zeros((2, 1), dtype=np.int64))
    with pytest.raises(InputError, match="60 queries and limits of answers of 1"):
        turned_set(ignored_above=np.zeros(1, dtype=np.float32))
