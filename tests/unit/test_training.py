"""Fitting, scoring, choosing, embedding and writing experts, on data small enough to follow."""

import itertools
import json

import numpy as np
import pytest

from routeret.datasets import load_dataset
from routeret.encoders import HashingEncoder
from routeret.errors import (
    ArtifactError,
    CorpusError,
    DuplicateIdError,
    ExpertNotHelpfulError,
    InputError,
)
from routeret.experts import load_expert
from routeret.experts.fingerprints import fingerprints
from routeret.measures import measure
from routeret.routing import load_pilots
from routeret.training import expert_report, train_expert
from routeret.training.choosing import DevScores, choose
from routeret.training.embedded import embed_dataset
from routeret.training.linear import LinearRecipe, fit_linear
from routeret.training.measuring import divide, pilot_corpus
from routeret.training.scoring import JudgedQueries, ndcg_of_scores, ndcg_of_vectors
from routeret.training.training_set import TrainingSet
from routeret.types import FloatArray

SHORT = LinearRecipe(checkpoints=(30, 120), batch=32, n_negatives=40, learning_rate=3e-2)


def unit(vectors) -> FloatArray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def rows(*numbers):
    return np.array(numbers, dtype=np.int64)


def turned_set(n=60, dim=8, seed=0):
    """Documents in random directions; the query of each is the document with its axes shifted by one."""
    documents = unit(np.random.default_rng(seed).normal(size=(n, dim)))
    queries = np.roll(documents, 1, axis=1)
    return TrainingSet("turned", queries, documents, tuple(rows(number) for number in range(n)))


def judged(source, name="dev"):
    ones = tuple(np.ones(len(positives), dtype=np.float32) for positives in source.positives)
    return JudgedQueries(name, source.queries, source.documents, source.positives, ones)


# --- fitting ---------------------------------------------------------------------------------------------------------


def test_a_fit_finds_the_turn_and_helps_on_queries_it_has_not_seen():
    training, unseen = turned_set(seed=0), judged(turned_set(seed=1))
    weight = fit_linear([training], recipe=SHORT)[-1].weight
    before = unseen.ndcg_of(unseen.queries).mean()
    after = unseen.ndcg_at_strengths(weight, [1.0], unit_length=True).mean()
    assert before < 0.2
    assert after > before + 0.5


def test_every_checkpoint_comes_in_order_from_one_run():
    points = fit_linear([turned_set()], recipe=SHORT)
    assert [point.steps for point in points] == [30, 120]
    assert points[0].weight.shape == (8, 8)
    assert points[0].weight.dtype == np.float32
    assert np.linalg.norm(points[0].weight) < np.linalg.norm(points[1].weight)


def test_a_seed_fixes_the_fit():
    recipe = LinearRecipe(checkpoints=(5,), batch=16, n_negatives=20)
    first, again, other = (fit_linear([turned_set()], recipe=recipe, seed=seed)[0].weight for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_several_sets_share_one_map():
    weight = fit_linear([turned_set(seed=0), turned_set(n=20, seed=2)], recipe=SHORT)[-1].weight
    for seed in (5, 6):
        unseen = judged(turned_set(seed=seed))
        assert unseen.ndcg_at_strengths(weight, [1.0], unit_length=True).mean() > 0.6


def test_anchors_keep_other_queries_where_they_are():
    others = unit(np.random.default_rng(9).normal(size=(50, 8)))

    def cosine(anchors):
        weight = fit_linear([turned_set()], recipe=SHORT, anchors=anchors)[-1].weight
        return np.einsum("nd,nd->n", unit(others + others @ weight.T), others).mean()

    assert cosine(others) > cosine(None) + 0.1


def test_scores_that_rank_everything_already_leave_little_to_learn():
    training = turned_set()
    perfect = np.eye(60, dtype=np.float32) * 3
    helped = TrainingSet("helped", training.queries, training.documents, training.positives, added_scores=perfect)
    alone = fit_linear([training], recipe=LinearRecipe(checkpoints=(1,), averaging=1.0, weight_decay=0.0))[0].weight
    beside = fit_linear([helped], recipe=LinearRecipe(checkpoints=(1,), averaging=1.0, weight_decay=0.0))[0].weight
    assert np.abs(alone).max() > 0
    # AdamW's first step has one size for any gradient but 0, and e^(-2 / 0.03) is as good as that.
    assert np.abs(beside).max() < np.abs(alone).max()


def test_companions_are_averaged_with_the_expert_before_scoring():
    training = turned_set()
    # Companions that are the documents themselves find them without any help.
    beside = TrainingSet(
        "beside", training.queries, training.documents, training.positives, companions=training.documents * 100
    )
    weight = fit_linear([beside], recipe=LinearRecipe(checkpoints=(3,), averaging=1.0, weight_decay=0.0))[0].weight
    alone = fit_linear([training], recipe=LinearRecipe(checkpoints=(3,), averaging=1.0, weight_decay=0.0))[0].weight
    assert np.linalg.norm(weight) < np.linalg.norm(alone)


@pytest.mark.parametrize("n", [1, 2])
def test_the_smallest_sets_give_a_finite_map(n):
    training = turned_set(n=n)
    weight = fit_linear([training], recipe=LinearRecipe(checkpoints=(3,)))[0].weight
    assert np.isfinite(weight).all()


def test_a_query_that_every_document_answers_teaches_nothing_and_breaks_nothing():
    training = turned_set(n=3)
    everything = TrainingSet("all", training.queries, training.documents, (rows(0, 1, 2),) * 3)
    weight = fit_linear([everything], recipe=LinearRecipe(checkpoints=(3,), weight_decay=0.0))[0].weight
    assert np.array_equal(weight, np.zeros((8, 8), dtype=np.float32))


def test_vectors_of_any_length_are_fitted_too():
    training = turned_set()
    long = TrainingSet("long", training.queries * 7, training.documents * 3, training.positives)
    weight = fit_linear([long], recipe=SHORT, unit_length=False)[-1].weight
    unseen = judged(turned_set(seed=1))
    assert unseen.ndcg_at_strengths(weight, [1.0], unit_length=False).mean() > 0.6


def test_what_cannot_be_fitted_is_refused():
    training = turned_set(n=3)
    with pytest.raises(InputError, match="no training set"):
        fit_linear([])
    with pytest.raises(InputError, match=r"dimensions \[4, 8\]"):
        fit_linear([training, turned_set(n=3, dim=4)])
    for positives in ((rows(0), rows(1)), (rows(0), rows(1), rows()), (rows(0), rows(1), rows(3))):
        with pytest.raises(InputError, match="positives"):
            TrainingSet("bad", training.queries, training.documents, positives)


@pytest.mark.parametrize("changes", [{"checkpoints": ()}, {"checkpoints": (3, 2)}, {"batch": 0}, {"temperature": 0.0}])
def test_a_recipe_without_a_meaning_is_refused(changes):
    with pytest.raises(InputError):
        LinearRecipe(**changes)


# --- scoring ---------------------------------------------------------------------------------------------------------


def test_scores_agree_with_the_reference_measure():
    rng = np.random.default_rng(0)
    scores = rng.permutation(5 * 30).reshape(5, 30).astype(np.float32)  # no equal scores
    relevant = tuple(np.sort(rng.choice(30, size, replace=False)) for size in (1, 2, 5, 12, 20))
    grades = tuple(rng.integers(1, 4, len(numbers)).astype(np.float32) for numbers in relevant)
    run = {str(q): {str(d): float(scores[q, d]) for d in range(30)} for q in range(5)}
    qrels = {
        str(q): {str(d): int(g) for d, g in zip(relevant[q], grades[q], strict=True)} for q in range(len(relevant))
    }
    expected = [values["ndcg@10"] for values in measure(run, qrels).values()]
    np.testing.assert_allclose(ndcg_of_scores(scores, relevant=relevant, grades=grades), expected, atol=1e-6)


def test_equal_scores_keep_the_lower_row_first():
    scores = np.zeros((2, 3), dtype=np.float32)
    found = ndcg_of_scores(scores, relevant=[rows(0), rows(1)], grades=[np.ones(1, np.float32)] * 2)
    np.testing.assert_allclose(found, [1, 1 / np.log2(3)], rtol=1e-6)


def test_vectors_are_scored_as_their_products():
    documents = np.eye(3, dtype=np.float32)
    queries = np.array([[0.1, 0.2, 0.9], [0.9, 0.2, 0.1]], dtype=np.float32)
    found = ndcg_of_vectors(queries, documents, relevant=[rows(2), rows(2)], grades=[np.ones(1, np.float32)] * 2)
    np.testing.assert_allclose(found, [1, 0.5], rtol=1e-6)  # first, and third of three: 1 / log2(4)


# --- choosing --------------------------------------------------------------------------------------------------------


def scores_of(gains_by_option, n=4, name="a"):
    """The same gain for every query; the base has 0.5 everywhere."""
    options = 0.5 + np.tile(np.array(gains_by_option, dtype=np.float32), (n, 1, 1))
    return DevScores(name, np.full(n, 0.5, dtype=np.float32), options)


def test_the_best_mean_over_sets_wins():
    scores = [scores_of([[0.1, 0.2], [0.3, 0.0]], n=1), scores_of([[0.1, 0.3], [-0.3, 0.0]], n=9, name="b")]
    choice = choose(scores, strengths=(0.5, 1.0))
    assert (choice.fit, choice.strength) == (0, 1.0)  # 0.25 against 0.1, 0.0 and 0.0
    assert choice.gain == pytest.approx(0.25)
    np.testing.assert_allclose(choice.chosen[1], np.full(9, 0.3), rtol=1e-5)


def test_equal_options_give_the_earlier_fit_and_the_weaker_strength():
    choice = choose([scores_of([[0.0, 0.1], [0.1, 0.1]])], strengths=(0.5, 1.0))
    assert (choice.fit, choice.strength) == (0, 1.0)
    choice = choose([scores_of([[0.1, 0.1], [0.1, 0.1]])], strengths=(0.5, 1.0))
    assert (choice.fit, choice.strength) == (0, 0.5)


def test_no_query_is_judged_by_an_option_that_it_chose():
    # Each of two queries gains with an option of its own and loses with the other's.
    options = np.array([[[0.9, 0.1]], [[0.1, 0.9]]], dtype=np.float32)
    scores = DevScores("a", np.full(2, 0.5, dtype=np.float32), options)
    choice = choose([scores], strengths=(0.5, 1.0))
    np.testing.assert_allclose(choice.gains[0], [-0.4, -0.4], rtol=1e-5)


def test_noise_is_refused_at_the_nominal_rate(monkeypatch):
    monkeypatch.setattr("routeret.significance.RESAMPLES", 400)
    rng, n_honest, n_flattered = np.random.default_rng(0), 0, 0
    for seed in range(1000):
        # One fit at four strengths, each strength like the one before, none worth more than the base.
        gains = rng.normal(0, 0.2, (40, 4)).cumsum(axis=1) / np.sqrt(np.arange(1, 5))
        options = (0.5 + gains[:, None]).astype(np.float32)
        choice = choose([DevScores("noise", np.full(40, 0.5, dtype=np.float32), options)], seed=seed)
        n_honest += expert_report.is_helpful(expert_report.tested_over_sets(choice.gains, seed=seed))
        n_flattered += expert_report.is_helpful(expert_report.tested_over_sets(choice.chosen, seed=seed))
    # 50 of 1,000 are what p < 0.05 allows; testing the queries that chose accepts more.
    assert 10 < n_honest <= 50
    assert n_flattered > 60


def test_one_dev_query_is_enough_to_choose():
    choice = choose([scores_of([[0.0, 0.1], [0.0, 0.2]], n=1)], strengths=(0.5, 1.0))
    assert (choice.fit, choice.strength) == (1, 1.0)


def test_choosing_without_dev_queries_is_refused():
    with pytest.raises(InputError, match="no set has dev queries"):
        choose([])


# --- data sets -------------------------------------------------------------------------------------------------------

WORDS = ["amber", "birch", "cloud", "dwarf", "ember", "flint", "glyph", "haven", "ivory", "jolly"]
FOREIGN = ["xuqo", "wyzt", "vokk", "prym", "snaf", "trog", "qlim", "brux", "zepp", "mavv"]
PAIRS = list(itertools.combinations(range(10), 2))


def write_set(folder, *, queries, qrels, documents=None):
    """A BEIR folder from texts by id and from judgements by split."""
    documents = documents or {f"d{i}{j}": f"{WORDS[i]} {WORDS[j]}" for i, j in PAIRS}
    (folder / "qrels").mkdir(parents=True)
    for name, texts in {"corpus": documents, "queries": queries}.items():
        lines = [json.dumps({"_id": one, "text": text}) + "\n" for one, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    for split, judgements in qrels.items():
        lines = [f"{query}\t{document}\t{grade}\n" for query, document, grade in judgements]
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return folder


def write_foreign(folder, *, shuffled=False, dev=True):
    """Queries in another language about pairs of things: every third pair is asked about in dev, the rest in train."""
    queries = {f"q{i}{j}": f"{FOREIGN[i]} {FOREIGN[j]}" for i, j in PAIRS}
    answers = [f"d{i}{j}" for i, j in PAIRS]
    if shuffled:
        answers = [answers[number] for number in np.random.default_rng(1).permutation(len(answers))]
    judgements = [(query, answer, 1) for query, answer in zip(queries, answers, strict=True)]
    if not dev:
        return write_set(folder, queries=queries, qrels={"train": judgements})
    train = [one for number, one in enumerate(judgements) if number % 3]
    return write_set(folder, queries=queries, qrels={"train": train, "dev": judgements[::3]})


class CountingEncoder(HashingEncoder):
    """Counts the texts that it encodes."""

    n_texts = 0

    def encode_documents(self, documents):
        self.n_texts += len(documents)
        return super().encode_documents(documents)

    def encode_queries(self, texts):
        self.n_texts += len(texts)
        return super().encode_queries(texts)


def test_a_set_becomes_arrays(tmp_path):
    folder = write_set(
        tmp_path / "set",
        documents={"ä": "red apple", "b": "green pear", "c": "blue"},
        queries={"1": "apple", "2": "pear", "3": "nothing", "4": "unused"},
        qrels={"train": [("1", "b", 2), ("1", "ä", 1), ("1", "c", 0), ("3", "b", 0)], "test": [("2", "b", 1)]},
    )
    encoder = HashingEncoder(16)
    embedded = embed_dataset(load_dataset(folder), encoder)
    assert embedded.document_ids == ("ä", "b", "c")
    np.testing.assert_array_equal(embedded.documents[1], encoder.encode_queries(["green pear"])[0])
    assert list(embedded.queries_by_split) == ["train"]
    train = embedded.queries_by_split["train"]
    assert (train.ids, train.texts) == (("1",), ("apple",))  # query 3 has no relevant document
    assert train.relevant[0].tolist() == [0, 1]
    assert train.grades[0].tolist() == [1.0, 2.0]
    assert embedded.content_keys[2] == load_dataset(folder).load_documents()[2].content_key
    assert sorted(embedded.checksums) == ["corpus.jsonl", "qrels/train.tsv", "queries.jsonl"]
    assert embedded.n_truncated == 0


def test_a_cache_keeps_what_was_encoded_and_notices_what_changed(tmp_path):
    folder = write_foreign(tmp_path / "set")
    encoder = CountingEncoder(16)
    first = embed_dataset(load_dataset(folder), encoder, cache=tmp_path / "cache")
    assert encoder.n_texts == 45 + 45
    again = embed_dataset(load_dataset(folder), encoder, cache=tmp_path / "cache")
    assert encoder.n_texts == 90
    np.testing.assert_array_equal(again.documents, first.documents)
    np.testing.assert_array_equal(again.queries_by_split["dev"].vectors, first.queries_by_split["dev"].vectors)
    text = (folder / "corpus.jsonl").read_text()
    (folder / "corpus.jsonl").write_text(text.replace("amber birch", "amber brick"))
    embed_dataset(load_dataset(folder), encoder, cache=tmp_path / "cache")
    assert encoder.n_texts == 90 + 45
    other = CountingEncoder(16, query_prompt="query: ")
    embed_dataset(load_dataset(folder), other, cache=tmp_path / "cache")
    assert other.n_texts == 45  # the documents are those of the same space


def test_a_damaged_cache_is_an_error_that_names_the_file(tmp_path):
    dataset = load_dataset(write_foreign(tmp_path / "set"))
    embed_dataset(dataset, HashingEncoder(16), cache=tmp_path / "cache")
    file = next((tmp_path / "cache").glob("documents-*"))
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(ArtifactError, match=r"documents-.* is damaged .* remove it"):
        embed_dataset(dataset, HashingEncoder(16), cache=tmp_path / "cache")


def test_judgements_and_ids_are_checked(tmp_path):
    unknown = write_set(tmp_path / "a", queries={"1": "x"}, qrels={"train": [("1", "nowhere", 1)]})
    with pytest.raises(CorpusError, match="'nowhere'"):
        embed_dataset(load_dataset(unknown), HashingEncoder(16))
    double = write_set(tmp_path / "b", queries={"1": "x"}, qrels={"train": [("1", "d01", 1)]})
    corpus = (double / "corpus.jsonl").read_text()
    (double / "corpus.jsonl").write_text(corpus + corpus.splitlines()[0] + "\n")
    with pytest.raises(DuplicateIdError, match="'d01' comes twice"):
        embed_dataset(load_dataset(double), HashingEncoder(16))


def test_a_set_without_dev_holds_a_fifth_of_train_out(tmp_path):
    embedded = embed_dataset(load_dataset(write_foreign(tmp_path / "set", dev=False)), HashingEncoder(16))
    division = divide(embedded)
    assert division.held_out
    assert (len(division.train), len(division.dev)) == (36, 9)
    assert not set(division.train.ids) & set(division.dev.ids)
    assert division.dev.ids == divide(embedded).dev.ids


def test_a_set_without_enough_train_queries_cannot_be_divided(tmp_path):
    few = write_set(tmp_path / "few", queries={"1": "x"}, qrels={"train": [("1", "d01", 1)]})
    with pytest.raises(CorpusError, match="1 train queries and no dev split"):
        divide(embed_dataset(load_dataset(few), HashingEncoder(16)))
    none = write_set(tmp_path / "none", queries={"1": "x"}, qrels={"dev": [("1", "d01", 1)]})
    with pytest.raises(CorpusError, match="has no train queries"):
        divide(embed_dataset(load_dataset(none), HashingEncoder(16)))


# --- experts ---------------------------------------------------------------------------------------------------------

ENCODER = HashingEncoder(48)
RECIPE = LinearRecipe(checkpoints=(60, 120), batch=32, n_negatives=45, learning_rate=1e-2)


def test_an_expert_that_helps_is_written_with_its_pilots(tmp_path):
    data, anchors = write_foreign(tmp_path / "foreign"), write_foreign(tmp_path / "others", shuffled=True)
    report = train_expert(
        "translator", [data], out=tmp_path / "expert", anchors=[anchors], base=ENCODER, recipe=RECIPE, seed=1
    )
    assert report.helpful
    score = report.sets[0]
    assert (score.name, score.n_train, score.n_dev, score.held_out) == ("foreign", 30, 15, False)
    assert score.expert > score.base + 0.2
    assert score.difference.p_value < 0.05
    expert = load_expert(tmp_path / "expert")
    assert (expert.name, expert.strength) == ("translator", report.strength)
    assert (expert.space, expert.query_tower) == (ENCODER.space, ENCODER.query_tower)
    documents = load_dataset(data).load_documents()
    assert expert.known_documents.tolist() == sorted(document.content_key % 2**32 for document in documents)
    codes = fingerprints(ENCODER.encode_documents(documents).vectors)
    assert expert.sketch.fingerprints.tolist() == np.unique(codes).tolist()
    assert (expert.sketch.documents.n, expert.sketch.queries.n) == (len(documents), 30)
    assert expert.details["seed"] == 1
    assert expert.details["recipe"]["checkpoints"] == [60, 120]
    assert sorted(expert.details["data"]["foreign"]) == [
        "corpus.jsonl",
        "qrels/dev.tsv",
        "qrels/train.tsv",
        "queries.jsonl",
    ]
    pilots = load_pilots(tmp_path / "expert" / "pilots")
    assert pilots.experts == ("translator",)
    corpus = pilots.corpora[0]
    assert (corpus.name, len(corpus.texts), corpus.home_experts) == ("foreign", 45, ("translator",))
    gains = corpus.gains["translator"]
    assert np.isfinite(gains[:15]).all()
    assert np.isnan(gains[15:]).all()
    # The gain at the chosen strength is that of the report, up to the float16 of the saved gains.
    assert gains[:15, (0.3, 0.5, 0.7, 1.0).index(report.strength)].mean() == pytest.approx(
        score.expert - score.base, abs=0.02
    )
    assert json.loads(json.dumps(report.as_dict()))["sets"]["foreign"]["n_dev"] == 15


def test_an_expert_that_does_not_help_is_not_written_unless_forced(tmp_path):
    data = write_foreign(tmp_path / "noise", shuffled=True)
    short = LinearRecipe(checkpoints=(5,), batch=32, n_negatives=45)
    with pytest.raises(ExpertNotHelpfulError, match=r"'guess' changes nDCG@10 on dev by .* --force \(force=True\)$"):
        train_expert("guess", [data], out=tmp_path / "expert", base=ENCODER, recipe=short)
    assert list(tmp_path.iterdir()) == [data]
    report = train_expert("guess", [data], out=tmp_path / "expert", base=ENCODER, recipe=short, force=True)
    assert not report.helpful
    assert load_expert(tmp_path / "expert").details["scores"]["helpful"] is False


def test_two_experts_of_one_set_bring_the_same_pilots(tmp_path):
    data = write_foreign(tmp_path / "foreign", dev=False)
    libraries = []
    for seed, name in enumerate(("a", "b")):
        train_expert(name, [data], out=tmp_path / name, base=ENCODER, recipe=SHORT, seed=seed, force=True)
        libraries.append(load_pilots(tmp_path / name / "pilots"))
    assert libraries[0].joined(libraries[1]).experts == ("a", "b")


def test_bad_calls_are_refused_before_anything_is_encoded(tmp_path):
    data = write_foreign(tmp_path / "foreign")
    encoder = CountingEncoder(16)
    with pytest.raises(InputError, match="'base' names what every pool holds"):
        train_expert("base", [data], out=tmp_path / "x", base=encoder)
    with pytest.raises(InputError, match="expected a list of at least one BEIR folder"):
        train_expert("a", [], out=tmp_path / "x", base=encoder)
    with pytest.raises(InputError, match="expected a list of at least one BEIR folder"):
        train_expert("a", data, out=tmp_path / "x", base=encoder)
    with pytest.raises(ArtifactError, match="exists already"):
        train_expert("a", [data], out=data, base=encoder)
    assert encoder.n_texts == 0


def test_anchors_need_queries_that_may_be_trained_on(tmp_path):
    data = write_foreign(tmp_path / "foreign")
    tests = write_set(tmp_path / "tests", queries={"1": "x"}, qrels={"test": [("1", "d01", 1)]})
    with pytest.raises(CorpusError, match="neither train nor dev queries"):
        train_expert("a", [data], out=tmp_path / "x", anchors=[tests], base=ENCODER)


def test_pilots_of_a_set_are_measured_for_every_expert(tmp_path):
    embedded = embed_dataset(load_dataset(write_foreign(tmp_path / "foreign")), ENCODER)

    class Same:
        """Writes what the base writes."""

        name = "same"

        def encode_queries(self, queries, *, strengths):
            assert len(strengths) == len(queries)
            return queries.base

    corpus = pilot_corpus(embedded, [Same()], home_experts=["same"], source="made up")
    assert corpus.gains["same"][:15].tolist() == [[0.0] * 4] * 15
    assert (corpus.source, corpus.vectors.shape) == ("made up", (45, 48))
